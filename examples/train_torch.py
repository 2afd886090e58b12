# SPDX-License-Identifier: Apache-2.0
"""torch: a small transformer that learns a made-up language; made on the meta device, then filled.

Two lines change: the model is made on the meta device, without memory and without weights, and
`materialize` gives it both, by the names of its parameters. A model of any number of layers, or in
shards of FSDP2, is filled by the same line.
"""

import torch
from torch import nn

import philinit as pi
import philinit.torch as pt

LETTERS, LENGTH, WIDTH = 32, 16, 32

NORMAL = pt.layout(pi.TruncatedNormal(stddev=0.02, seed=42))
RULES = {  # the first pattern that fits a name counts
    "*norm*.weight": pi.Ones(),
    "*bias": pi.Zeros(),
    "*embed.weight": pi.Normal(stddev=0.02, seed=42),
    "*": NORMAL,
}


class Model(nn.Module):
    """Embeddings, two layers of attention that look back only, and a score for each letter."""

    def __init__(self):
        super().__init__()
        self.letter_embed = nn.Embedding(LETTERS, WIDTH)
        self.position_embed = nn.Embedding(LENGTH, WIDTH)
        layer = nn.TransformerEncoderLayer(
            WIDTH, 4, 4 * WIDTH, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(WIDTH)
        self.scores = nn.Linear(WIDTH, LETTERS, bias=False)

    def forward(self, letters):
        """Scores of the letter that follows each of `letters`."""
        length = letters.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(length)
        x = self.letter_embed(letters) + self.position_embed(torch.arange(length))
        return self.scores(self.norm(self.layers(x, mask=mask, is_causal=True)))


def texts(count, generator):
    """Texts in which three letters, with chances of their own, can follow each letter."""
    following = torch.stack([torch.randperm(LETTERS, generator=generator)[:3] for _ in range(32)])
    chances = torch.tensor([0.8, 0.15, 0.05]).expand(count, 3)
    letters = [torch.randint(0, LETTERS, (count,), generator=generator)]
    for _ in range(LENGTH):
        choice = torch.multinomial(chances, 1, generator=generator)
        letters.append(following[letters[-1]].gather(1, choice)[:, 0])
    return torch.stack(letters, 1)


def main():
    """Train for 150 steps."""
    data = texts(32 * 150, torch.Generator().manual_seed(0))
    with torch.device("meta"):  # this line
        model = Model()
    pt.materialize(model, RULES)  # and this one
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for step, batch in enumerate(data.split(32)):
        scores = model(batch[:, :-1])
        loss = nn.functional.cross_entropy(scores.flatten(0, 1), batch[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 25 == 0:
            print(f"step {step:4}  loss {loss.item():.4f}", flush=True)
    print(f"step {step:4}  loss {loss.item():.4f}")


if __name__ == "__main__":
    main()
