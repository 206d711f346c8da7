"""Who is asked: our models here and in pools, servers, and our models inside lmms-eval."""
