# SPDX-License-Identifier: Apache-2.0
"""What the parameters of known models are called: a role, and the names that have it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from philinit.checks import shown
from philinit.initializers.base import Initializer
from philinit.initializers.constants import Ones, Zeros
from philinit.initializers.models.scaled import Scaled

Names = Mapping[str, str] | None
Plan = Mapping[str, Initializer]

_MATRIX = r"\.(?:weight|kernel)$"

#: Roles of a transformer's parameters, and a regular expression for the names of each: those of
#: nanoGPT, transformers, torchtitan, OLMo, Megatron, GPT-NeoX, fairseq, `torch.nn.Transformer`,
#: timm, torchvision, of KerasHub, and of plain Keras layers called as in torch. An expression
#: begins at a component of the name; the first role whose expression is found counts.
ROLES: dict[str, str] = {
    "bias": r"\w*bias$|beta$",
    "norm": r"(?:\w*[nN]orm\w*|ln(?:_\w+|\d*))\.(?:weight|gamma|scale)$|\w*layer_norm_weight$",
    "position": (
        r"(?:wpe|embed_positions|position_embeddings?|relative_attention_bias)"
        r"\.(?:weight|\w*embeddings)$"
    ),
    "embedding": (
        r"(?:wte|tok_embeddings|embed_tokens|embed_in|word_embeddings|token_type_embeddings|shared"
        r"|token_embedding|embeddings?)\.(?:weight|embeddings)$"
    ),
    "head": (
        r"(?:lm_head(?:\.w_out)?|embed_out|output|output_layer|output_projection|logits|head|score"
        r"|qa_outputs|seq_relationship|(?:predictions|lm_head)\.decoder|class\w+(?:\.out_proj)?"
        rf"|(?<=transformer\.)ff_out){_MATRIX}|reverse_embeddings$"
    ),
    # Between the last layer and the head, as BERT has them.
    "pooler": rf"(?:pooler|transform|lm_head|class\w+)\.dense{_MATRIX}",
    # Query, key and value in one matrix: the three below each other, or in another order.
    "packed": r"(?:qkv|Wqkv)\.weight$|in_proj_weight$",
    "packed_kernel": r"qkv\.kernel$",
    "mixed": rf"(?:c_attn|query_key_value|linear_qkv|qkv_proj|w_qkv|att_proj){_MATRIX}",
    "query_key": (
        rf"(?:(?:q|k)_proj|w_?(?:q|k)|\w+Attention\.(?:q|k)){_MATRIX}|(?:query|key)\.weight$"
    ),
    "value": rf"(?:v_proj|w_?v|\w+Attention\.v){_MATRIX}|value\.weight$",
    "attention_output": (
        r"(?:\w*att(?:n|ention)\.(?:c_proj|proj|w_out|dense|output\.dense)|\w+Attention\.o|o_proj"
        rf"|out_proj|(?<!DenseReluDense\.)wo|attn_out|linear_proj){_MATRIX}"
    ),
    # Of keras.layers.MultiHeadAttention: (width, heads, head), and (heads, head, width).
    "heads_query_key": r"(?:query|key)\.kernel$",
    "heads_value": r"value\.kernel$",
    "heads_output": r"attention_output\.kernel$",
    "gate": rf"(?:gate_proj|w1|wi_0|feedforward_gate_dense){_MATRIX}",
    "up": (
        r"(?:c_fc|fc1|fc_in|linear1|linear_fc1|dense_h_to_4h|up_proj|w3|wi|wi_1|ff_proj|mlp\.0"
        rf"|intermediate\.dense|feedforward_intermediate_dense|mlp\.dense_1){_MATRIX}"
    ),
    "down": (
        r"(?:mlp\.c_proj|fc2|fc_out|linear2|linear_fc2|dense_4h_to_h|down_proj|w2|wo|ff_out|mlp\.3"
        rf"|output\.dense|feedforward_output_dense|mlp\.dense_2){_MATRIX}"
    ),
}


def transformer(matrix: Initializer, residual: Initializer, **others: Initializer) -> Plan:
    """`matrix` for all roles but a few: zeros for biases, ones for norms, and `residual`.

    `residual` is for the matrices that write into the residual stream, the second one of
    attention and of the MLP; `others` by role.
    """
    writing = dict.fromkeys(("attention_output", "heads_output", "down"), residual)
    return dict.fromkeys(ROLES, matrix) | {"bias": Zeros(), "norm": Ones()} | writing | others


def divided(init: Initializer, branches: int, layers: int) -> Scaled:
    """`init` over the square root of the number of residual branches in all layers."""
    if branches not in (1, 2):
        raise ValueError(f"`branches` must be 1 or 2; got branches={shown(branches)}")
    return Scaled(init, "1/sqrt(L)" if branches == 1 else "1/sqrt(2L)", layers)


def entries(
    plan: Plan, names: Names, *, roles: Mapping[str, str] = ROLES, where: str = ""
) -> list[tuple[re.Pattern[str], Initializer]]:
    """The entries of a map: an initializer for each role that `plan` has.

    `names` are expressions for roles that are asked before those of `roles`; `where` is a
    lookahead that the whole name must satisfy. The first number of a name is its layer's.

    Raises
    ------
    TypeError, ValueError
        `names` is no mapping of roles of the plan to regular expressions.
    """
    own = {} if names is None else names
    if not isinstance(own, Mapping) or not all(isinstance(own[role], str) for role in own):
        raise TypeError(
            "`names` must be a mapping of roles to regular expressions in str; "
            f"got names={shown(names)}"
        )
    unknown = [role for role in own if role not in plan]
    if unknown:
        raise ValueError(
            f"`names` must be for roles of the recipe, {', '.join(plan)}; got {unknown[0]!r}"
        )
    found = [(role, own[role]) for role in own]
    found += [(role, roles[role]) for role in roles if role in plan]
    return [(compiled(expression, where), plan[role]) for role, expression in found]


def compiled(expression: str, where: str = "") -> re.Pattern[str]:
    """`expression` at a component of a name, with the number of the layer as a group."""
    return re.compile(rf"^{where}(?:.*?(?:^|[._])(?P<layer>\d+)\.)?(?:.*\.)?(?:{expression})")
