"""The linear layer whose matrix stays in 4 bits, and the loader that puts it in place. Imported only by `quantise`.

The loader is transformers' own for bitsandbytes with two changes, registered under a name of its own.
"""

from __future__ import annotations

from typing import Any

import torch
from bitsandbytes.autograd._functions import matmul_4bit
from bitsandbytes.nn.modules import Linear4bit, fix_4bit_weight_quant_state_from_module
from transformers import BitsAndBytesConfig
from transformers.models.falcon.modeling_falcon import FalconLinear
from transformers.quantizers.auto import register_quantizer
from transformers.quantizers.quantizer_bnb_4bit import Bnb4BitHfQuantizer
from transformers.utils.quantization_config import QuantizationMethod

_NAME: Any = "pakar-nf4"  # the loader's registry knows strings, its types only the built-in ones


class FrozenLinear(Linear4bit):
    """bitsandbytes' layer with a forward pass that is fit for training.

    The original does three things that harm it. On CPUs with bfloat16 it re-packs the matrix in place at the first
    evaluation, and a re-packed one gives no gradient any more, so that training after a validation would silently lose
    what flows through the base. It turns a bias into the compute format for good, and a trained bias has to stay in
    float32. And under autocast it answers in the format of its input, where every other layer answers in that of the
    computation, so that activations are kept in float32.
    """

    @classmethod
    def like(cls, layer: Linear4bit) -> FrozenLinear:
        """The same layer: weights are shared, not copied."""
        made = cls(
            layer.in_features,
            layer.out_features,
            bias=layer.bias is not None,
            compute_dtype=layer.compute_dtype,
            quant_storage=layer.quant_storage,
            device="meta",
        )
        weight: Any = layer.weight
        made.weight, made.bias = weight, layer.bias
        made.quant_state, weight.module = weight.quant_state, made
        weight.quant_state.dtype = layer.compute_dtype
        made.__dict__["source_cls"] = layer.__dict__.get("source_cls", torch.nn.Linear)
        return made

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `x` [..., in] to [..., out]; the matrix is unfolded to the compute format for this one product."""
        fix_4bit_weight_quant_state_from_module(self)  # sharding takes it off the weight
        weight: Any = self.weight
        product: torch.Tensor = matmul_4bit(x.to(self.compute_dtype), weight, quant_state=weight.quant_state)
        if self.bias is not None:
            product = product + self.bias.to(product.dtype)
        return product if torch.is_autocast_enabled(x.device.type) else product.to(x.dtype)


class FrozenConfig(BitsAndBytesConfig):
    """How to quantise, for `FrozenLoader`."""

    def __init__(self, *, double: bool, compute: torch.dtype, storage: torch.dtype) -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=double,
            bnb_4bit_compute_dtype=compute,
            bnb_4bit_quant_storage=storage,
        )
        self.quant_method = _NAME


@register_quantizer(_NAME)
class FrozenLoader(Bnb4BitHfQuantizer):
    """Quantises matrix by matrix while reading, Falcon's included: its linear class is its own and would be passed over."""

    def _process_model_before_weight_loading(self, model: Any, device_map: Any = None, **others: Any) -> None:
        for name, module in list(model.named_modules()):
            if isinstance(module, FalconLinear):
                bias = module.bias is not None
                model.set_submodule(name, torch.nn.Linear(module.in_features, module.out_features, bias, device="meta"))
        super()._process_model_before_weight_loading(model, device_map, **others)

    def _process_model_after_weight_loading(self, model: Any, **others: Any) -> Any:
        """Also give back the name under which others read such models."""
        model.quantization_method = self.quantization_config.quant_method = QuantizationMethod.BITS_AND_BYTES
        for name, layer in list(model.named_modules()):
            if type(layer) is Linear4bit:
                model.set_submodule(name, FrozenLinear.like(layer))
        return super()._process_model_after_weight_loading(model, **others)
