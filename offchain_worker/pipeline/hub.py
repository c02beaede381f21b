"""Fetches models from a hub: what there is, at which revision, under which licence; then safetensors and small files.

The hub is the one that `HF_ENDPOINT` names, by default Hugging Face. Files that can run code (pickle, Python) are never
fetched.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from offchain_worker.errors import HubRefused, ToolNotInstalled, one_line

WANTED = re.compile(
    r"(model(-\d+-of-\d+)?\.safetensors|model\.safetensors\.index\.json|1_Pooling/config\.json|modules\.json|"
    r"(config|tokenizer|tokenizer_config|special_tokens_map|preprocessor_config|processor_config)\.json)"
)
_REVISION = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Found:
    """A model on the hub, before anything of it is downloaded."""

    repo: str
    """Such as "sentence-transformers/all-MiniLM-L6-v2"."""
    revision: str
    """Commit, 40 hex digits."""
    licence: str
    """As the hub has it, "unknown" if it has none."""
    files: tuple[str, ...]
    """What will be fetched."""
    size_bytes: int
    """Of these files together."""

    @property
    def source(self) -> str:
        """For a manifest: where it came from, pinned."""
        return f"https://huggingface.co/{self.repo}, revision {self.revision}"


def look(repo: str, revision: str = "main") -> Found:
    """Ask the hub about a model.

    Raises:
        HubRefused: It is gated, missing, or has no safetensors; the message has the hub's own reason.
        ToolNotInstalled: huggingface_hub is not installed.
    """
    api = _library().HfApi()
    try:
        info = api.model_info(repo, revision=revision, files_metadata=True)
    except Exception as error:  # the library's errors are of many kinds: network, HTTP, validation
        raise HubRefused(f"expected {repo!r} on the hub, got: {one_line(error)}") from error
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    files = tuple(sorted(name for name in sizes if WANTED.fullmatch(name)))
    if not any(name.endswith(".safetensors") for name in files) or "config.json" not in files:
        shown = ", ".join(sorted(sizes)[:8]) or "no files"
        raise HubRefused(
            f"expected config.json and model.safetensors in {repo!r} (pickle is never loaded), got {shown}: ask its "
            "author for safetensors"
        )
    if not info.sha or not _REVISION.fullmatch(info.sha):
        raise HubRefused(f"expected a commit as revision of {repo!r}, got {info.sha!r}")
    card: Any = info.card_data
    licence = (card.get("license") if card else None) or next(
        (tag.removeprefix("license:") for tag in info.tags or () if tag.startswith("license:")),
        "unknown",
    )
    return Found(repo, info.sha, str(licence), files, sum(sizes[name] for name in files))


def fetch(found: Found, cache: Path | None = None) -> Path:
    """Download the files, with a progress bar, and return their folder. What is there already is not asked for again.

    Args:
        found: What `look` gave.
        cache: Folder for downloads; by default that of huggingface_hub.

    Raises:
        HubRefused: The hub does not give them; the message has its reason.
    """
    try:
        folder = _library().snapshot_download(
            found.repo,
            revision=found.revision,
            allow_patterns=list(found.files),
            cache_dir=cache,
        )
    except Exception as error:  # the library's errors are of many kinds: network, HTTP, validation
        raise HubRefused(f"expected the files of {found.repo!r}, got: {one_line(error)}") from error
    return Path(folder)


def _library() -> Any:
    try:
        import huggingface_hub
    except ModuleNotFoundError:
        raise ToolNotInstalled(
            "expected package 'huggingface_hub', which is not installed: pip install 'lattice[pipeline]'"
        ) from None
    return huggingface_hub
