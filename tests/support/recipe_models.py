# SPDX-License-Identifier: Apache-2.0
"""Names and shapes of small models, as their libraries have them; each with the role it plays.

A line is a name, a role, and the shape; {} is the number of each of `LAYERS` layers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

LAYERS, D, F, V, T, HEADS, PATCH = 3, 256, 512, 300, 256, 4, 8
SIZES = {"D": D, "F": F, "V": V, "T": T, "H": HEADS, "K": D // HEADS, "P": PATCH}
SIZES |= {"3D": 3 * D, "2F": 2 * F, "1": 1, "3": 3, "4": 4, "7": 7}

NANOGPT = """
transformer.wte.weight emb V D
transformer.wpe.weight pos T D
transformer.h.{}.ln_1.weight norm D
transformer.h.{}.ln_1.bias bias D
transformer.h.{}.attn.c_attn.weight in 3D D
transformer.h.{}.attn.c_attn.bias bias 3D
transformer.h.{}.attn.c_proj.weight out D D
transformer.h.{}.attn.c_proj.bias bias D
transformer.h.{}.ln_2.weight norm D
transformer.h.{}.mlp.c_fc.weight up F D
transformer.h.{}.mlp.c_fc.bias bias F
transformer.h.{}.mlp.c_proj.weight down D F
transformer.h.{}.mlp.c_proj.bias bias D
transformer.ln_f.weight norm D
lm_head.weight head V D
"""
KERAS_HUB = """
token_embedding/embeddings emb V D
token_embedding/reverse_embeddings head D V
position_embedding/embeddings pos T D
transformer_layer_{}/self_attention/query/kernel in D H K
transformer_layer_{}/self_attention/query/bias bias H K
transformer_layer_{}/self_attention/key/kernel in D H K
transformer_layer_{}/self_attention/value/kernel v D H K
transformer_layer_{}/self_attention/attention_output/kernel out H K D
transformer_layer_{}/self_attention/attention_output/bias bias D
transformer_layer_{}/self_attention_layer_norm/gamma norm D
transformer_layer_{}/self_attention_layer_norm/beta bias D
transformer_layer_{}/feedforward_intermediate_dense/kernel up D F
transformer_layer_{}/feedforward_output_dense/kernel down F D
transformer_layer_{}/feedforward_output_dense/bias bias D
transformer_layer_{}/feedforward_layer_norm/gamma norm D
layer_norm/gamma norm D
layer_norm/beta bias D
"""
MEGATRON = """
embedding.word_embeddings.weight emb V D
embedding.position_embeddings.weight pos T D
decoder.layers.{}.self_attention.linear_qkv.layer_norm_weight norm D
decoder.layers.{}.self_attention.linear_qkv.layer_norm_bias bias D
decoder.layers.{}.self_attention.linear_qkv.weight in 3D D
decoder.layers.{}.self_attention.linear_qkv.bias bias 3D
decoder.layers.{}.self_attention.linear_proj.weight out D D
decoder.layers.{}.mlp.linear_fc1.weight up F D
decoder.layers.{}.mlp.linear_fc2.weight down D F
decoder.final_layernorm.weight norm D
output_layer.weight head V D
"""
TORCHTITAN = """
tok_embeddings.weight emb V D
layers.{}.attention.wq.weight in D D
layers.{}.attention.wk.weight in D D
layers.{}.attention.wv.weight v D D
layers.{}.attention.wo.weight out D D
layers.{}.feed_forward.w1.weight gate F D
layers.{}.feed_forward.w2.weight down D F
layers.{}.feed_forward.w3.weight up F D
layers.{}.attention_norm.weight norm D
layers.{}.ffn_norm.weight norm D
norm.weight norm D
output.weight head V D
"""
TRANSFORMERS_LLAMA = """
model.embed_tokens.weight emb V D
model.layers.{}.self_attn.q_proj.weight in D D
model.layers.{}.self_attn.k_proj.weight in D D
model.layers.{}.self_attn.v_proj.weight v D D
model.layers.{}.self_attn.o_proj.weight out D D
model.layers.{}.mlp.gate_proj.weight gate F D
model.layers.{}.mlp.up_proj.weight up F D
model.layers.{}.mlp.down_proj.weight down D F
model.layers.{}.input_layernorm.weight norm D
model.layers.{}.post_attention_layernorm.weight norm D
model.norm.weight norm D
lm_head.weight head V D
"""
KERAS_LLAMA = """
token_embedding/embeddings emb V D
token_embedding/reverse_embeddings head D V
transformer_layer_{}/self_attention/query/kernel in D H K
transformer_layer_{}/self_attention/key/kernel in D H K
transformer_layer_{}/self_attention/value/kernel v D H K
transformer_layer_{}/self_attention/attention_output/kernel out H K D
transformer_layer_{}/self_attention_layernorm/scale norm D
transformer_layer_{}/feedforward_gate_dense/kernel gate D F
transformer_layer_{}/feedforward_intermediate_dense/kernel up D F
transformer_layer_{}/feedforward_output_dense/kernel down F D
transformer_layer_{}/feedforward_layernorm/scale norm D
sequence_output_layernorm/scale norm D
"""
OLMO_CORE = """
embeddings.weight emb V D
blocks.{}.attention.w_q.weight in D D
blocks.{}.attention.w_k.weight in D D
blocks.{}.attention.w_v.weight v D D
blocks.{}.attention.w_out.weight out D D
blocks.{}.attention.q_norm.weight norm D
blocks.{}.attention_norm.weight norm D
blocks.{}.feed_forward.w1.weight gate F D
blocks.{}.feed_forward.w2.weight down D F
blocks.{}.feed_forward.w3.weight up F D
blocks.{}.feed_forward_norm.weight norm D
lm_head.norm.weight norm D
lm_head.w_out.weight head V D
"""
OLMO = """
transformer.wte.weight emb V D
transformer.blocks.{}.att_proj.weight in 3D D
transformer.blocks.{}.attn_out.weight out D D
transformer.blocks.{}.ff_proj.weight up F D
transformer.blocks.{}.ff_out.weight down D F
transformer.blocks.{}.attn_norm.weight norm D
transformer.ln_f.weight norm D
transformer.ff_out.weight head V D
"""
NEOX = """
gpt_neox.embed_in.weight emb V D
gpt_neox.layers.{}.input_layernorm.weight norm D
gpt_neox.layers.{}.input_layernorm.bias bias D
gpt_neox.layers.{}.attention.query_key_value.weight in 3D D
gpt_neox.layers.{}.attention.query_key_value.bias bias 3D
gpt_neox.layers.{}.attention.dense.weight out D D
gpt_neox.layers.{}.mlp.dense_h_to_4h.weight up F D
gpt_neox.layers.{}.mlp.dense_4h_to_h.weight down D F
gpt_neox.final_layer_norm.weight norm D
embed_out.weight head V D
"""
FAIRSEQ_DECODER = """
decoder.embed_tokens.weight emb V D
decoder.layers.{}.self_attn.q_proj.weight in D D
decoder.layers.{}.self_attn.q_proj.bias bias D
decoder.layers.{}.self_attn.k_proj.weight in D D
decoder.layers.{}.self_attn.v_proj.weight v D D
decoder.layers.{}.self_attn.out_proj.weight out D D
decoder.layers.{}.self_attn_layer_norm.weight norm D
decoder.layers.{}.fc1.weight up F D
decoder.layers.{}.fc2.weight down D F
decoder.layers.{}.fc2.bias bias D
decoder.output_projection.weight head V D
"""
FAIRSEQ_ENCODER = """
encoder.embed_tokens.weight emb V D
encoder.layers.{}.self_attn.q_proj.weight in D D
encoder.layers.{}.self_attn.v_proj.weight v D D
encoder.layers.{}.self_attn.out_proj.weight out D D
encoder.layers.{}.fc1.weight up F D
encoder.layers.{}.fc1.bias bias F
encoder.layers.{}.fc2.weight down D F
"""
FAIRSEQ_CROSS = """
decoder.layers.{}.encoder_attn.k_proj.weight in D D
decoder.layers.{}.encoder_attn.v_proj.weight cross D D
decoder.layers.{}.encoder_attn.out_proj.weight cross D D
"""
TORCH_ENCODER = """
layers.{}.self_attn.in_proj_weight packed 3D D
layers.{}.self_attn.in_proj_bias bias 3D
layers.{}.self_attn.out_proj.weight out D D
layers.{}.linear1.weight up F D
layers.{}.linear2.weight down D F
layers.{}.linear2.bias bias D
layers.{}.norm1.weight norm D
"""
KERAS_PACKED = """
encoder/block_{}/attention/qkv/kernel packed-1 D 3D
encoder/block_{}/attention/out_proj/kernel out D D
encoder/block_{}/fc1/kernel up D F
encoder/block_{}/fc2/kernel down F D
"""
TIMM_VIT = """
cls_token cls 1 1 D
pos_embed pos 1 T D
patch_embed.proj.weight patch D 3 P P
patch_embed.proj.bias patch_bias D
blocks.{}.norm1.weight norm D
blocks.{}.norm1.bias bias D
blocks.{}.attn.qkv.weight packed 3D D
blocks.{}.attn.qkv.bias bias 3D
blocks.{}.attn.proj.weight matrix D D
blocks.{}.attn.proj.bias bias D
blocks.{}.ls1.gamma scale D
blocks.{}.norm2.weight norm D
blocks.{}.mlp.fc1.weight matrix F D
blocks.{}.mlp.fc1.bias mlp_bias F
blocks.{}.mlp.fc2.weight matrix D F
blocks.{}.mlp.fc2.bias mlp_bias D
norm.weight norm D
head.weight head V D
head.bias bias V
"""
KERAS_VIT = """
patching_and_embedding/token_layer/cls_token cls 1 1 D
patching_and_embedding/patch_embedding/kernel patch P P 3 D
patching_and_embedding/patch_embedding/bias patch_bias D
patching_and_embedding/position_embedding/embeddings pos T D
encoder/transformer_block_{}/ln_1/gamma norm D
encoder/transformer_block_{}/ln_1/beta bias D
encoder/transformer_block_{}/mha/query/kernel matrix D H K
encoder/transformer_block_{}/mha/query/bias bias H K
encoder/transformer_block_{}/mha/attention_output/kernel matrix H K D
encoder/transformer_block_{}/mlp/dense_1/kernel matrix D F
encoder/transformer_block_{}/mlp/dense_1/bias mlp_bias F
encoder/transformer_block_{}/mlp/dense_2/kernel matrix F D
encoder/ln/gamma norm D
predictions/kernel head D V
"""
CONVNEXT = """
downsample_layers.0.0.weight matrix D 3 4 4
downsample_layers.0.0.bias bias D
downsample_layers.0.1.weight norm D
downsample_layers.0.1.bias bias D
downsample_layers.1.0.weight norm D
downsample_layers.1.1.weight matrix F D 1 1
stages.{}.0.gamma scale D
stages.{}.0.dwconv.weight matrix D 1 7 7
stages.{}.0.dwconv.bias bias D
stages.{}.0.norm.weight norm D
stages.{}.0.pwconv1.weight matrix F D
stages.{}.0.pwconv2.weight matrix D F
norm.weight norm D
head.weight head V D
head.bias bias V
"""
TIMM_CONVNEXT = """
stem.0.weight matrix D 3 4 4
stem.1.weight norm D
stages.1.downsample.0.weight norm D
stages.1.downsample.1.weight matrix F D 1 1
stages.{}.blocks.0.gamma scale D
stages.{}.blocks.0.conv_dw.weight matrix D 1 7 7
stages.{}.blocks.0.norm.weight norm D
stages.{}.blocks.0.mlp.fc1.weight matrix F D
head.norm.weight norm D
head.fc.weight head V D
"""
KERAS_CONVNEXT = """
convnext_tiny_stem/convnext_tiny_stem_conv/kernel matrix 4 4 3 D
convnext_tiny_stem/convnext_tiny_stem_layernorm/gamma norm D
convnext_tiny_stem/convnext_tiny_stem_layernorm/beta bias D
convnext_tiny_stage_{}_block_0_depthwise_conv/kernel matrix 7 7 1 D
convnext_tiny_stage_{}_block_0_layernorm/gamma norm D
convnext_tiny_stage_{}_block_0_pointwise_conv_1/kernel matrix D F
convnext_tiny_stage_{}_block_0_layer_scale/gamma scale D
convnext_tiny_head_layernorm/gamma norm D
convnext_tiny_head_dense/kernel head D V
convnext_tiny_head_dense/bias bias V
"""
DLRM = """
emb_l.0.weight table V D
emb_l.1.weight table 7 D
bot_l.0.weight matrix F D
bot_l.0.bias bias F
top_l.2.weight matrix D F
"""
KERAS_DLRM = """
embedding_0/embeddings table V D
bottom_mlp/dense/kernel matrix D F
bottom_mlp/dense/bias bias F
top_mlp/dense_1/kernel matrix F D
"""
SIREN = """
net.0.linear.weight first F 3
net.0.linear.bias first_bias F
net.1.linear.weight hidden D F
net.1.linear.bias bias D
net.3.weight hidden V D
"""
KERAS_SIREN = """
siren_0/kernel first 3 F
siren_0/bias first_bias F
siren_1/kernel hidden F D
siren_1/bias bias D
"""
MAMBA = """
backbone.embedding.weight emb V D
backbone.layers.{}.norm.weight norm D
backbone.layers.{}.mixer.in_proj.weight linear 2F D
backbone.layers.{}.mixer.conv1d.weight conv F 1 4
backbone.layers.{}.mixer.conv1d.bias conv F
backbone.layers.{}.mixer.x_proj.weight linear D F
backbone.layers.{}.mixer.dt_proj.weight linear F 7
backbone.layers.{}.mixer.dt_proj.bias dt F
backbone.layers.{}.mixer.A_log a F 7
backbone.layers.{}.mixer.D one F
backbone.layers.{}.mixer.out_proj.weight out D F
backbone.norm_f.weight norm D
lm_head.weight linear V D
"""
KERAS_MAMBA = """
token_embedding/embeddings emb V D
block_{}/mixer/in_proj/kernel linear D 2F
block_{}/mixer/conv1d/kernel conv 4 F 1
block_{}/mixer/dt_proj/kernel linear 7 F
block_{}/mixer/dt_proj/bias dt F
block_{}/mixer/A_log a F 7
block_{}/mixer/D one F
block_{}/mixer/out_proj/kernel out F D
block_{}/norm/scale norm D
"""


def parameters_of(text: str) -> dict[str, tuple[str, tuple[int, ...], int]]:
    """Role, shape and layer of each name."""
    found = {}
    for line in text.split("\n"):
        if line:
            name, role, *sizes = line.split()
            shape = tuple(SIZES[size] for size in sizes)
            for layer in range(LAYERS if "{}" in name else 1):
                found[name.format(layer)] = role, shape, layer
    return found


def filled(parameters: Any, text: str, seed: int = 42) -> dict[str, Any]:
    """The weights of a model, by torch's adapter for its spellings, else as NumPy arrays."""
    shapes = {name: shape for name, (_, shape, _) in parameters_of(text).items()}
    return filled_shapes(parameters, shapes, "/" not in text, seed)


def filled_shapes(parameters: Any, shapes: Any, in_torch: bool, seed: int = 42) -> dict[str, Any]:
    """The weights of parameters of these names and shapes."""
    import philinit as pi

    arrays = {name: np.full(shape, np.nan, np.float32) for name, shape in shapes.items()}
    if not in_torch:
        return pi.models.initialize(arrays, parameters, seed)
    import torch

    import philinit.torch as pt

    module = torch.nn.Module()
    for name, array in arrays.items():
        *path, last = name.split(".")
        here = module
        for part in path:
            if not hasattr(here, part):
                here.add_module(part, torch.nn.Module())
            here = getattr(here, part)
        here.register_parameter(last, torch.nn.Parameter(torch.from_numpy(array)))
    pt.initialize(module, parameters, seed)
    return {name: p.detach().numpy() for name, p in module.named_parameters()}
