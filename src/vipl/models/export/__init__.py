"""Encoders as files that other programs load: safetensors, ONNX, TorchScript, the released form."""

from vipl.models.export.forms import FORMS, Form, export

__all__ = ["FORMS", "Form", "export"]
