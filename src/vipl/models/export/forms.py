"""Writing an encoder in one of the forms, checked before the file is in place."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from vipl.errors import UserError
from vipl.files import write_atomically
from vipl.models.checkpoint import save_encoder
from vipl.models.encoder import Encoder
from vipl.models.export import onnx_file, released, torchscript
from vipl.models.export.check import TOLERANCE, check_sound

Form: TypeAlias = Literal["safetensors", "onnx", "torchscript", "released"]

FORMS: tuple[Form, ...] = get_args(Form)


def export(
    encoder: Encoder,
    form: Form,
    out: str | Path,
    *,
    preprocessing: bool = True,
    opset: int = onnx_file.DEFAULT_OPSET,
) -> float | None:
    """Write an encoder for other programs.

    What is written computes what the encoder computes on a CPU: this is measured before the file
    gets its name.

    Args:
        encoder: On a CPU, in evaluation mode, as `load_encoder` returns it.
        form: "safetensors" (a folder, as `save_encoder` writes it), "onnx", "torchscript", or
            "released" (the file that the released VIP code loads).
        out: The file, or the folder of safetensors; a file that is there is replaced.
        preprocessing: Of "onnx" and "torchscript": take uint8 [N, 3, H, W] of any H x W, and not
            only of the network's input side.
        opset: Of "onnx".

    Returns:
        The largest difference from the encoder's embeddings, relative to the largest number in
        them; None for safetensors, which hold the weights themselves.

    Raises:
        UserError: If the form cannot hold this encoder, or gives other embeddings, or these are
            not finite.
    """
    out = Path(out)
    check_sound(encoder)
    if form == "safetensors":
        _refuse_place(out, wrong=out.is_file(), expected="a folder")
        save_encoder(encoder, out)
        return None
    _refuse_place(out, wrong=out.is_dir(), expected="a file")
    write = _writer(encoder, form, preprocessing=preprocessing, opset=opset)
    differences: list[float] = []

    def write_checked(file: Path) -> None:
        difference = write(file)
        if not difference <= TOLERANCE:  # nor where it is not a number
            raise UserError(
                f"{out} is not written: as {form} the encoder gives embeddings that differ by "
                f"{difference:.1e} of their largest number, expected at most {TOLERANCE:.0e}; "
                "its folder of safetensors is exact"
            )
        differences.append(difference)

    write_atomically(out, write_checked)
    return differences[0]


def _writer(
    encoder: Encoder, form: Form, *, preprocessing: bool, opset: int
) -> Callable[[Path], float]:
    """Return what writes a file and says how far its embeddings are from the encoder's."""
    if form == "onnx":
        return lambda file: onnx_file.write(encoder, file, preprocessing=preprocessing, opset=opset)
    if form == "torchscript":
        return lambda file: torchscript.write(encoder, file, preprocessing=preprocessing)
    return lambda file: released.write(encoder, file)


def _refuse_place(out: Path, *, wrong: bool, expected: str) -> None:
    if wrong:
        raise UserError(f"{out} is there and not {expected}: name {expected} by --out")
