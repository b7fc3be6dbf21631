"""An embedding model behind an OpenAI-compatible address: Ollama, llama.cpp, vLLM, or a cloud."""

from __future__ import annotations

from collections.abc import Sequence

import httpx

from .errors import EmbeddingError
from .vectors import Embedding

TIMEOUT = 30.0  # seconds; a model may have to be loaded first


def served_embedding(url: str, model: str, *, key: str | None = None) -> Embedding:
    """The model of that name at `url` (`http://localhost:11434/v1`), by POST to `/embeddings`.

    Its `embed` raises `EmbeddingError` where there is no answer, or none that fits.
    """
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    address = f"{url.rstrip('/')}/embeddings"

    def embed(texts: Sequence[str]) -> list[list[float]]:
        try:
            response = httpx.post(
                address,
                json={"model": model, "input": list(texts)},
                headers=headers,
                timeout=TIMEOUT,
            )
            response.raise_for_status()
            rows = sorted(response.json()["data"], key=lambda row: row["index"])
            made = [[float(number) for number in row["embedding"]] for row in rows]
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise EmbeddingError(f"{address}: no embedding by {model}: {error}") from error
        if len(made) != len(texts) or len({len(vector) for vector in made}) > 1:
            raise EmbeddingError(f"{address}: {len(texts)} texts, and not as many like vectors")
        return made

    return Embedding(model, embed)
