# SPDX-License-Identifier: Apache-2.0
"""Models of transformers from their configurations, small; nothing is fetched."""

import transformers

TINY = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
TEXT = {**TINY, "intermediate_size": 96, "vocab_size": 100, "pad_token_id": 0}
ENDS = {"bos_token_id": 1, "eos_token_id": 2}
GPT2 = {"n_embd": 48, "n_layer": 2, "n_head": 4, "vocab_size": 100, **ENDS}
T5 = {"d_model": 48, "num_layers": 2, "num_heads": 4, "d_ff": 96, "d_kv": 12, "vocab_size": 100}
BART = {"d_model": 48, "vocab_size": 100} | {
    f"{side}_{what}": number
    for side in ("encoder", "decoder")
    for what, number in (("layers", 2), ("attention_heads", 4), ("ffn_dim", 96))
}
VIT = {**TINY, "intermediate_size": 96, "image_size": 16, "patch_size": 4}
SWIN = {"image_size": 16, "patch_size": 2, "embed_dim": 12, "depths": [1, 1], "num_heads": [2, 2]}
CONVNEXT = {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1]}
MAMBA = {"hidden_size": 48, "num_hidden_layers": 2, "vocab_size": 100}

#: By kind: the class, that of its configuration, and what the latter is given.
MODELS = {
    "Bert": ("BertModel", "BertConfig", TEXT),
    "GPT-2": ("GPT2LMHeadModel", "GPT2Config", GPT2),
    "Llama": ("LlamaForCausalLM", "LlamaConfig", TEXT),
    "T5": ("T5ForConditionalGeneration", "T5Config", T5),
    "ViT": ("ViTModel", "ViTConfig", VIT),
    "Swin": ("SwinModel", "SwinConfig", {**SWIN, "window_size": 4}),
    "ConvNeXt": ("ConvNextModel", "ConvNextConfig", CONVNEXT),
}

#: As above, with heads and in the variants that have names of their own.
VARIANTS = {
    "Bert, masked": ("BertForMaskedLM", "BertConfig", {**TEXT, "tie_word_embeddings": False}),
    "Bert, classes": ("BertForSequenceClassification", "BertConfig", TEXT),
    "Roberta": ("RobertaForSequenceClassification", "RobertaConfig", TEXT),
    "GPT-NeoX": ("GPTNeoXForCausalLM", "GPTNeoXConfig", TEXT),
    "OLMo": ("Olmo2ForCausalLM", "Olmo2Config", {**TEXT, **ENDS}),
    "Gemma": ("GemmaForCausalLM", "GemmaConfig", {**TEXT, "head_dim": 12}),
    "OPT": ("OPTForCausalLM", "OPTConfig", {**TEXT, "ffn_dim": 96, "word_embed_proj_dim": 48}),
    "T5, gated": (
        *("T5ForConditionalGeneration", "T5Config"),
        {**T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    ),
    "BART": ("BartForConditionalGeneration", "BartConfig", BART),
    "ViT, classes": ("ViTForImageClassification", "ViTConfig", VIT),
    "DeiT": ("DeiTForImageClassificationWithTeacher", "DeiTConfig", VIT),
    "Swin, classes": ("SwinForImageClassification", "SwinConfig", {**SWIN, "window_size": 4}),
    "ConvNeXt, classes": ("ConvNextForImageClassification", "ConvNextConfig", CONVNEXT),
    "ConvNeXt V2": ("ConvNextV2ForImageClassification", "ConvNextV2Config", CONVNEXT),
    "Mamba": ("MambaForCausalLM", "MambaConfig", MAMBA),
    "Mamba2": (
        *("Mamba2ForCausalLM", "Mamba2Config"),
        {**MAMBA, "num_heads": 12, "head_dim": 8, "n_groups": 1},
    ),
}


BUILT = MODELS | VARIANTS


def build(kind):
    model, config, arguments = BUILT[kind]
    return getattr(transformers, model)(getattr(transformers, config)(**arguments))
