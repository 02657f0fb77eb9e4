"""Operators of PyTorch that compute and do nothing else.

Others read and write files (``aten.from_file``, ``aten.save``), or come from libraries that
are not known here. That an operator is on the list does not mean that networks with it can be
verified: what is smooth is refused later, by its name.
"""

from __future__ import annotations

import re

_ATEN = frozenset(
    re.findall(
        r"\w+",
        """
        abs absolute adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
        adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d add addbmm addcdiv
        addcmul addmm addmv addr alias all alpha_dropout amax amin aminmax any arange
        argmax argmin argsort as_strided atleast_1d atleast_2d atleast_3d avg_pool1d
        avg_pool2d avg_pool3d baddbmm batch_norm bilinear block_diag bmm
        broadcast_tensors broadcast_to cat ceil celu channel_shuffle chunk clamp
        clamp_max clamp_min clone column_stack concat concatenate constant_pad_nd
        contiguous conv1d conv2d conv3d conv_transpose1d conv_transpose2d
        conv_transpose3d convolution copy cos cumsum detach diag diag_embed diagonal
        diff div divide dot dropout einsum elu embedding empty empty_like eq equal erf
        exp expand expand_as expm1 eye feature_alpha_dropout feature_dropout fill
        flatten flip fliplr flipud floor floor_divide fmax fmin full full_like gather ge
        gelu glu greater greater_equal group_norm gt hardshrink hardsigmoid hardswish
        hardtanh hstack index index_add index_copy index_fill index_put index_select
        inner instance_norm isfinite isinf isnan item kron l1_loss layer_norm le
        leaky_relu lerp less less_equal lift lift_fresh lift_fresh_copy linear linspace
        log log10 log1p log2 log_sigmoid log_softmax logical_and logical_not logical_or
        logical_xor logsumexp lt masked_fill masked_scatter masked_select matmul max
        max_pool1d max_pool1d_with_indices max_pool2d max_pool2d_with_indices max_pool3d
        max_pool3d_with_indices maximum mean median meshgrid min minimum mish mm movedim
        moveaxis mul multiply mv narrow native_batch_norm native_group_norm
        native_layer_norm ne neg negative new_empty new_full new_ones new_zeros nonzero
        norm not_equal numpy_T one_hot ones ones_like outer pad permute pixel_shuffle
        pixel_unshuffle pow prelu prod ravel reciprocal reflection_pad1d
        reflection_pad2d reflection_pad3d relu relu6 remainder repeat repeat_interleave
        replication_pad1d replication_pad2d replication_pad3d reshape reshape_as
        rms_norm roll rot90 round row_stack rrelu rrelu_with_noise rsqrt rsub
        scalar_tensor scaled_dot_product_attention scatter scatter_add scatter_reduce
        select select_scatter selu sgn sigmoid sign silu sin slice slice_scatter softmax
        softplus softshrink sort split split_with_sizes sqrt square squeeze stack std
        std_mean sub subtract sum swapaxes swapdims sym_constrain_range
        sym_constrain_range_for_size sym_numel sym_size sym_stride t take take_along_dim
        tan tanh tensor_split tensordot threshold tile to topk trace transpose tril
        true_divide trunc type_as unbind unflatten unfold unsqueeze upsample_bilinear2d
        upsample_linear1d upsample_nearest1d upsample_nearest2d upsample_nearest3d
        upsample_trilinear3d var var_mean view view_as vstack where zero zeros
        zeros_like _adaptive_avg_pool2d _adaptive_avg_pool3d _assert_scalar
        _assert_tensor_metadata _log_softmax _native_batch_norm_legit
        _native_batch_norm_legit_no_training _softmax _to_copy _unsafe_view
        _upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d
        _weight_norm
        """,
    )
)
_ATEN_TARGET = re.compile(r"torch\.ops\.aten\.([A-Za-z0-9_]+)\.[A-Za-z0-9_]+")
_OF_SIZES = {
    f"_operator.{name}"
    for name in re.findall(
        r"\w+", "getitem add sub mul floordiv mod neg eq ne lt le gt ge and_ or_"
    )
} | {"torch.sym_max", "torch.sym_min", "torch.sym_int", "torch.sym_not", "torch.sym_sum"}


def only_computes(target: str) -> bool:
    """Whether an operator, as exported programs name it, is on the list.

    Examples
    --------
    >>> only_computes("torch.ops.aten.relu_.default"), only_computes("torch.ops.aten.save.default")
    (True, False)
    """
    match = _ATEN_TARGET.fullmatch(target)
    if match is None:
        return target in _OF_SIZES
    name = match.group(1)
    return name in _ATEN or name.removesuffix("_") in _ATEN or name.removesuffix("_copy") in _ATEN
