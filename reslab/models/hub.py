"""The Hugging Face Hub: fetch the files of a model, and publish a model folder. Needs the extra `hub`.

The network is touched only by these two functions, and files that huggingface_hub has in its cache are not fetched.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from reslab.errors import UserError, shortened


def _library() -> Any:
    try:
        import huggingface_hub
    except ImportError:
        raise UserError("hf: needs huggingface_hub; install reslab with its extra: pip install 'reslab[hub]'") from None
    return huggingface_hub


def fetched(name: str, required: str, others: Iterable[str]) -> Path:
    """Return the folder of the cache with a model's files.

    name       OWNER/NAME, or OWNER/NAME@REVISION
    required   a file that the model must have
    others     files that it may have
    Raises UserError for an unknown model, a missing file, or if the Hub cannot be reached.
    """
    library = _library()
    repository, _, revision = name.partition("@")
    folder: Path | None = None
    for number, file in enumerate((required, *others)):
        try:
            path = library.hf_hub_download(repository, file, revision=revision or None)
        except library.errors.EntryNotFoundError as error:
            if number and not isinstance(error, library.errors.LocalEntryNotFoundError):
                continue
            if number and folder is not None:
                continue  # offline: the cache has what it has
            raise _problem(name, file, error) from None
        except (library.errors.HfHubHTTPError, library.errors.HFValidationError, OSError, ValueError) as error:
            raise _problem(name, file, error) from None
        folder = folder or Path(path).parent
    assert folder is not None
    return folder


def _problem(name: str, file: str, error: Exception) -> UserError:
    reason = shortened(" ".join(str(error).split()))[:300]
    return UserError(f"hf:{name}: {file} cannot be had ({type(error).__name__}: {reason}); check name and network")


def push(folder: Path, repository: str, *, private: bool = False) -> str:
    """Publish a model folder as OWNER/NAME and return its address. Raises UserError if the Hub refuses or is away."""
    library = _library()
    api: Any = library.HfApi()
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        message = "Publish a model of reslab"
        return str(api.upload_folder(repo_id=repository, folder_path=folder, commit_message=message))
    except (library.errors.HfHubHTTPError, library.errors.HFValidationError, OSError, ValueError) as error:
        reason = shortened(" ".join(str(error).split()))[:300]
        raise UserError(f"{repository}: cannot be published ({type(error).__name__}: {reason})") from None
