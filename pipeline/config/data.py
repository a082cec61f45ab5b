"""Settings of texts that exclude each other, or that no type can check."""

from pipeline.config.schema import DataConfig
from pipeline.errors import UserError

OF_FILES = ("document_column", "split_documents", "encoding")


def check_text_settings(data: DataConfig) -> None:
    """Raises UserError: a value that cannot be meant; the message names the key and what would be right."""
    try:
        "a".encode(data.encoding)
    except (LookupError, ValueError) as error:
        message = f"data.encoding={data.encoding} is not a text encoding; accepted: utf-8, latin-1, cp1252, utf-16, ..."
        raise UserError(message) from error
    if data.source != "files":
        for key in OF_FILES:
            if getattr(data, key) != getattr(DataConfig(), key):
                raise UserError(f"data.{key} is a setting of data.source=files, not of data.source={data.source}")
    if data.source in {"bundled", "python"} and data.token_column:
        raise UserError(
            f"data.token_column is a setting of data.source=files and hub, not of data.source={data.source}"
        )
    if data.source == "bundled" and data.validation_fraction:
        raise UserError(
            "data.validation_fraction is a setting of data.source=files and hub: the bundled text has its own "
            "validation text, with eval.split=validation"
        )
    for key in ("token_column",) if data.token_column else ("text_column",):
        if getattr(data, key) == data.document_column:
            raise UserError(
                f"data.document_column={data.document_column} is also data.{key}: expected the column that says which "
                "document a row belongs to, or null if each row is a document"
            )
