"""Who is signed in: keys, conversations and clips of visitors, in this process's memory and nowhere else.

The browser holds a random token in a cookie that no script can read; the key itself never goes back to it.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from coat_ray.client import Client
from ui.conversation import Conversation
from ui.sound import Clip

COOKIE = "coat_session"
IDLE_S = 8 * 3600
MOST_SESSIONS = 2_000
MOST_CLIPS = 32
MOST_FILES = 200
MOST_TABS = 32
LONGEST_TAB = 64
"""Of one visitor, and of the name of a tab: Gradio makes a new one with every reload."""


@dataclass
class Session:
    """One signed-in visitor, in as many browser tabs as they like.

    Attributes:
        key: the API key.
        me: what the platform says of it (``GET /api/v1/me``).
        client: the platform's API, asked with the key.
        clips: by id, the ones used last.
        heard: which clip is in a file that was decoded already.
        files: what this visitor's browser has uploaded, as paths that only it may name.
        tabs: Gradio's names of the visitor's tabs, the ones used last.
        conversations: one for each tab.
        readings: what was last read in a block, by tab, for the export.
    """

    key: str = field(repr=False)
    me: dict[str, Any]
    client: Client = field(repr=False)
    clips: OrderedDict[str, Clip] = field(default_factory=OrderedDict, repr=False)
    heard: dict[str, str] = field(default_factory=dict, repr=False)
    files: OrderedDict[str, None] = field(default_factory=OrderedDict, repr=False)
    tabs: OrderedDict[str, None] = field(default_factory=OrderedDict, repr=False)
    conversations: dict[str, Conversation] = field(default_factory=dict, repr=False)
    readings: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)
    seen: float = field(default_factory=time.monotonic)

    @property
    def role(self) -> str:
        """viewer, member, admin or owner."""
        return str(self.me["role"])

    @property
    def tenant(self) -> str | None:
        """None for the platform's owner."""
        return self.me["tenant"]

    def conversation(self, tab: str | None) -> Conversation:
        """That of a tab; a new one where there is none, which is kept as long as the tab."""
        if tab is None or tab not in self.tabs:
            return Conversation()
        return self.conversations.setdefault(tab, Conversation())

    def open(self, tab: str) -> list[str]:
        """Remember a tab; gives those used longest ago, which go with what was said and read in them."""
        self.tabs[tab] = None
        self.tabs.move_to_end(tab)
        gone = [self.tabs.popitem(last=False)[0] for _ in range(len(self.tabs) - MOST_TABS)]
        for old in gone:
            self.readings.pop(old, None)
            if (conversation := self.conversations.pop(old, None)) is not None:
                conversation.stop()
        return gone

    def keep(self, clip: Clip) -> Clip:
        """Keep a clip to be asked about and played; the one used longest ago goes."""
        self.clips[clip.id] = clip
        self.clips.move_to_end(clip.id)
        while len(self.clips) > MOST_CLIPS:
            self.clips.popitem(last=False)
        return clip

    def own(self, path: str) -> None:
        """Remember that this visitor uploaded a file."""
        self.files[path] = None
        while len(self.files) > MOST_FILES:
            self.heard.pop(self.files.popitem(last=False)[0], None)


class Sessions:
    """All of them, by token; those that are idle for long end by themselves.

    The server's loop and its threads ask at once; one lock keeps them apart.
    """

    def __init__(self) -> None:
        self._found: OrderedDict[str, Session] = OrderedDict()
        self._owners: dict[str, str] = {}
        self._lock = threading.RLock()

    def begin(self, session: Session) -> str:
        """Sign somebody in; gives the token."""
        token = secrets.token_urlsafe(32)
        with self._lock:
            self._forget_idle()
            self._found[token] = session
            while len(self._found) > MOST_SESSIONS:
                self.end(next(iter(self._found)))
        return token

    def find(self, token: str | None) -> Session | None:
        """Whose token it is; None for nobody's, or after a long pause."""
        with self._lock:
            session = self._found.get(token or "")
            if session is None or token is None:
                return None
            if time.monotonic() - session.seen > IDLE_S:
                self.end(token)
                return None
            session.seen = time.monotonic()
            self._found.move_to_end(token)
            return session

    def end(self, token: str | None) -> None:
        """Sign somebody out: everything that was kept for them is gone."""
        with self._lock:
            session = self._found.pop(token or "", None)
            for tab in session.tabs if session else ():
                self._owners.pop(tab, None)

    def claim(self, tab: str, token: str) -> bool:
        """Whether a tab is this visitor's; one that nobody has named yet is theirs from now on."""
        with self._lock:
            session = self._found.get(token)
            if session is None or len(tab) > LONGEST_TAB or self._owners.setdefault(tab, token) != token:
                return False
            for gone in session.open(tab):
                self._owners.pop(gone, None)
            return True

    def _forget_idle(self) -> None:
        now = time.monotonic()
        for token in [token for token, session in self._found.items() if now - session.seen > IDLE_S]:
            self.end(token)
