"""A folder of pictures that an option names: empty at first, each file whole or absent."""

from __future__ import annotations

from pathlib import Path

from reslab.errors import UserError


class PictureFolder:
    """The folder that `flag` names. Raises UserError if it holds something or cannot be written."""

    def __init__(self, folder: Path, flag: str) -> None:
        from reslab.models.folder import check_target
        from reslab.store.files import writable_folder

        check_target(folder, flag)
        self.path, self.flag = writable_folder(folder, flag), flag

    def write(self, name: str | Path, content: bytes) -> Path:
        """Write a file of the folder and return its path. Raises UserError if that fails."""
        from reslab.store.files import replacing

        path = self.path / name
        try:
            with replacing(path) as aside:
                aside.write_bytes(content)
        except OSError as error:
            raise UserError(f"{self.flag} {path}: cannot be written ({error.strerror or error})") from None
        return path
