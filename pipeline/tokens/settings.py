"""Settings of data.* that exclude each other, or that no type can check."""

from pipeline.config import DataConfig
from pipeline.errors import UserError

SEPARATORS = ("bos", "eos", "none")


def check_data(data: DataConfig) -> None:
    """Raises UserError: a value that cannot be meant; the message names the key and what would be right."""
    if data.separator not in SEPARATORS:
        raise UserError(f"data.separator={data.separator} is unknown; accepted: {', '.join(SEPARATORS)}")
    if not data.split_documents:
        raise UserError("data.split_documents is empty; expected none, blank_line or the text between two documents")
    for key in ("text_column", "token_column", "document_column"):
        if getattr(data, key) == "":
            raise UserError(f"data.{key} is empty; expected the name of a column")
    try:
        b"".decode(data.encoding)
    except (LookupError, ValueError) as error:
        raise UserError(
            f"data.encoding={data.encoding} is no encoding of text; examples: utf-8, latin-1, utf-16"
        ) from error
    if data.source != "files":
        for key in ("document_column", "split_documents", "encoding"):
            if getattr(data, key) != getattr(DataConfig(), key):
                raise UserError(f"data.{key} is a setting of data=files, not of data.source={data.source}")
    if data.source == "bundled" and data.token_column:
        raise UserError("data.token_column is a setting of data=files and of datasets of the hub")
