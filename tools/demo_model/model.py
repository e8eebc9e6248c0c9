"""The CLIP that is trained: transformers' architecture and names of weights, written for speed on two CPU cores.

`Clip().state_dict()` is what `transformers.CLIPModel` loads. Training shows the image tower only a part of the
patches of each picture, which halves the work and makes up for few drawings.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

VOCABULARY = 2048
TEXT = {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 2, "num_attention_heads": 2}
VISION = {"hidden_size": 192, "intermediate_size": 576, "num_hidden_layers": 5, "num_attention_heads": 3}
IMAGE_SIZE, PATCH_SIZE, PROJECTION = 60, 10, 128


def config() -> dict:
    """config.json."""
    end = VOCABULARY - 1
    ids = {"bos_token_id": end - 1, "eos_token_id": end, "pad_token_id": end}
    shared = {"hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, "projection_dim": PROJECTION}
    text = {"model_type": "clip_text_model", "vocab_size": VOCABULARY, "max_position_embeddings": 77, **ids}
    vision = {"model_type": "clip_vision_model", "image_size": IMAGE_SIZE, "patch_size": PATCH_SIZE, "num_channels": 3}
    return {
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "projection_dim": PROJECTION,
        "logit_scale_init_value": 2.6592,
        "text_config": {**text, **TEXT, **shared},
        "vision_config": {**vision, **VISION, **shared},
        "dtype": "float16",
    }


class Attention(nn.Module):
    """Multi-head attention, spelled out: for so few patches that is quicker than the fused kernel."""

    def __init__(self, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            setattr(self, name, nn.Linear(width, width))

    def forward(self, x: Tensor) -> Tensor:
        b, n, d = x.shape
        three = (self.q_proj, self.k_proj, self.v_proj)
        weight, bias = torch.cat([p.weight for p in three]), torch.cat([p.bias for p in three])
        q, k, v = F.linear(x, weight, bias).view(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        scores = (q * (d // self.heads) ** -0.5) @ k.transpose(-1, -2)
        if self.causal:
            scores = scores + torch.full((n, n), -1e4).triu(1)
        mixed = scores.softmax(-1).to(v.dtype) @ v
        return self.out_proj(mixed.transpose(1, 2).reshape(b, n, d))


class Mlp(nn.Module):
    """The block's second half."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc1(x)
        return self.fc2(x * torch.sigmoid(1.702 * x))


class Block(nn.Module):
    """One pre-norm transformer block."""

    def __init__(self, spec: dict, causal: bool) -> None:
        super().__init__()
        width = spec["hidden_size"]
        self.layer_norm1, self.layer_norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.self_attn = Attention(width, spec["num_attention_heads"], causal)
        self.mlp = Mlp(width, spec["intermediate_size"])

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class Encoder(nn.Module):
    """The blocks of one tower."""

    def __init__(self, spec: dict, causal: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Block(spec, causal) for _ in range(spec["num_hidden_layers"]))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class VisionEmbeddings(nn.Module):
    """Patches, class token and positions; the convolution of CLIP as one matrix product."""

    def __init__(self) -> None:
        super().__init__()
        width = VISION["hidden_size"]
        self.class_embedding = nn.Parameter(torch.randn(width) * 0.02)
        self.patch_embedding = nn.Conv2d(3, width, PATCH_SIZE, PATCH_SIZE, bias=False)
        self.position_embedding = nn.Embedding((IMAGE_SIZE // PATCH_SIZE) ** 2 + 1, width)

    def forward(self, patches: Tensor, where: Tensor) -> Tensor:
        """`patches` [B, K, 3 * P * P] are those at positions `where` [B, K] of the grid."""
        x = F.linear(patches, self.patch_embedding.weight.flatten(1)) + self.position_embedding(where + 1)
        first = (self.class_embedding + self.position_embedding.weight[0]).expand(len(x), 1, -1)
        return torch.cat([first.to(x.dtype), x], 1)


class VisionTower(nn.Module):
    """The image tower up to the class token."""

    def __init__(self) -> None:
        super().__init__()
        width = VISION["hidden_size"]
        self.embeddings = VisionEmbeddings()
        self.pre_layrnorm, self.post_layernorm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.encoder = Encoder(VISION, causal=False)

    def forward(self, patches: Tensor, where: Tensor) -> Tensor:
        x = self.encoder(self.pre_layrnorm(self.embeddings(patches, where)))
        return self.post_layernorm(x[:, 0])


class TextEmbeddings(nn.Module):
    """Tokens and positions."""

    def __init__(self) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(VOCABULARY, TEXT["hidden_size"])
        self.position_embedding = nn.Embedding(77, TEXT["hidden_size"])


class TextTower(nn.Module):
    """The text tower up to the end token."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = TextEmbeddings()
        self.encoder = Encoder(TEXT, causal=True)
        self.final_layer_norm = nn.LayerNorm(TEXT["hidden_size"])

    def forward(self, ids: Tensor) -> Tensor:
        e = self.embeddings
        x = e.token_embedding(ids) + e.position_embedding.weight[: ids.shape[1]]
        end = (ids == VOCABULARY - 1).int().argmax(1)
        return self.final_layer_norm(self.encoder(x)[torch.arange(len(ids)), end])


def initialise(module: nn.Module) -> None:
    """Small normal weights, zero biases."""
    if isinstance(module, (nn.Linear, nn.Embedding, nn.Conv2d)):
        nn.init.normal_(module.weight, std=0.02 if isinstance(module, nn.Embedding) else module.weight[0].numel() ** -0.5)
        if getattr(module, "bias", None) is not None:
            nn.init.zeros_(module.bias)


def grid_positions(side: int, width: int) -> Tensor:
    """Sines and cosines of row and column for a grid of patches, so that neighbours are alike from the beginning."""
    rates = 100.0 ** -(torch.arange(width // 4) / (width // 4))
    waves = [torch.outer(torch.arange(side), rates).sin(), torch.outer(torch.arange(side), rates).cos()]
    line = torch.cat(waves, 1)
    rows, columns = line[:, None].expand(-1, side, -1), line[None].expand(side, -1, -1)
    return torch.cat([rows, columns], 2).flatten(0, 1)


@torch.no_grad()
def start_patches(embeddings: VisionEmbeddings, patches: Tensor) -> None:
    """Makes the patch embedding's outputs about equally strong and uncorrelated on sample patches [N, 3 * P * P]."""
    width = VISION["hidden_size"]
    values, vectors = torch.linalg.eigh(torch.cov(patches.T))
    values, vectors = values[-width:], vectors[:, -width:]
    scaled = vectors / (values + 0.1 * values.mean()).sqrt()
    mixing, _ = torch.linalg.qr(torch.randn(width, width))
    embeddings.patch_embedding.weight.copy_((scaled @ mixing).T.view_as(embeddings.patch_embedding.weight))


class Clip(nn.Module):
    """Both towers."""

    def __init__(self) -> None:
        super().__init__()
        self.vision_model, self.text_model = VisionTower(), TextTower()
        self.visual_projection = nn.Linear(VISION["hidden_size"], PROJECTION, bias=False)
        self.text_projection = nn.Linear(TEXT["hidden_size"], PROJECTION, bias=False)
        self.apply(initialise)
        positions = self.vision_model.embeddings.position_embedding.weight
        positions.data[1:] = 0.5 * grid_positions(IMAGE_SIZE // PATCH_SIZE, VISION["hidden_size"])
        depth = VISION["num_hidden_layers"]
        for block in [*self.vision_model.encoder.layers, *self.text_model.encoder.layers]:
            for last in (block.self_attn.out_proj, block.mlp.fc2):
                last.weight.data *= (2 * depth) ** -0.5
        for block in self.vision_model.encoder.layers:  # at first, look at what is alike and near
            block.self_attn.k_proj.weight.data.copy_(block.self_attn.q_proj.weight.data)
        self.logit_scale = nn.Parameter(torch.tensor(2.6592))


def patches_of(images: Tensor) -> Tensor:
    """[B, 3, S, S] as [B, patches, 3 * P * P], row by row."""
    return F.unfold(images, PATCH_SIZE, stride=PATCH_SIZE).transpose(1, 2)
