/* The theme switch, the cursor that follows playback, and saving the figure. Everything by delegation: Gradio renews
   what stands on the page. */
window.coatTheme = () => {
  const dark = document.body.classList.toggle("dark");
  try { localStorage.setItem("coat-theme", dark ? "dark" : "light"); } catch (e) { /* a browser that keeps nothing */ }
};
(() => {
  const kept = () => { try { return localStorage.getItem("coat-theme"); } catch (e) { return null; } };
  const apply = () => { const k = kept(); if (k) document.body.classList.toggle("dark", k === "dark"); };
  new MutationObserver((_, o) => { if (document.querySelector("#bar .bar")) { apply(); o.disconnect(); } })
    .observe(document.documentElement, { childList: true, subtree: true });

  const plotOf = () => document.querySelector("#inside-plot .js-plotly-plot");
  const place = (player) => {
    const plot = plotOf();
    if (!plot || !plot._fullLayout || player.id !== "inside-player") return;
    let line = plot.querySelector(".coat-cursor");
    if (!line) { line = document.createElement("div"); line.className = "coat-cursor"; plot.appendChild(line); }
    const axis = plot._fullLayout.xaxis, size = plot._fullLayout._size;
    const x = axis.l2p(player.currentTime);
    line.style.display = x < 0 || x > axis._length ? "none" : "block";
    line.style.left = `${axis._offset + x}px`;
    line.style.top = `${size.t}px`;
    line.style.height = `${size.h}px`;
  };
  const follow = (event) => {
    const player = event.target;
    const step = () => { place(player); if (!player.paused && !player.ended) requestAnimationFrame(step); };
    step();
  };
  for (const name of ["play", "seeked", "timeupdate"]) document.addEventListener(name, follow, true);

  document.addEventListener("click", (event) => {
    const plot = event.target.closest && event.target.closest("#inside-plot .js-plotly-plot");
    const player = document.getElementById("inside-player");
    if (!plot || !player || !plot._fullLayout || event.target.closest(".modebar, .legend")) return;
    const axis = plot._fullLayout.xaxis;
    const time = axis.p2l(event.clientX - plot.getBoundingClientRect().left - axis._offset);
    if (time >= 0 && time <= player.duration) player.currentTime = time;
  });

  window.coatPicture = () => {
    const plot = plotOf();
    if (!plot || !window.Plotly) return;
    const style = getComputedStyle(document.body);
    const shown = { paper_bgcolor: style.backgroundColor, "font.color": style.color };
    window.Plotly.toImage({ data: plot.data, layout: { ...plot.layout, ...{ paper_bgcolor: shown.paper_bgcolor,
      font: { ...plot.layout.font, color: shown["font.color"] } } } },
      { format: "png", width: 1200, height: plot._fullLayout.height, scale: 2 }).then((url) => {
        const link = document.createElement("a"); link.href = url; link.download = "thinking-block.png"; link.click(); });
  };
})();
