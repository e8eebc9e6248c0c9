"""From stored drawings to training pictures: put on a background, moved, turned, recoloured and spoilt, a batch at once.

Everything is torch on [B, C, S, S] arrays and takes its chances from a generator, so a batch is a function of its seed.
"""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from torchvision.io import decode_jpeg, encode_jpeg

MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)
GREY = torch.tensor([0.299, 0.587, 0.114])


class Chance:
    """Random numbers of the shapes needed here."""

    def __init__(self, batch: int, seed: int) -> None:
        self.batch, self.generator = batch, Generator().manual_seed(seed)

    def between(self, low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(self.batch, *shape, generator=self.generator)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(self.batch, *shape, generator=self.generator)

    def often(self, share: float) -> Tensor:
        """True for about this share of the batch."""
        return torch.rand(self.batch, generator=self.generator) < share


def coloured(raw: Tensor, mono: Tensor, chance: Chance) -> Tensor:
    """Drawings as premultiplied RGBA: one-ink ones get an ink and, mostly, paper inside it."""
    if not mono.any():
        return raw
    ink, paper = chance.between(0, 0.35, 3)[mono], chance.between(0.45, 1, 3)[mono]
    ink[chance.often(0.6)[mono]] = 0.02
    paper[chance.often(0.35)[mono]] = 1.0
    swap = chance.often(0.12)[mono]
    ink[swap], paper[swap] = paper[swap].clone(), ink[swap].clone()
    filled = chance.often(0.75)[mono].float().view(-1, 1, 1, 1)
    line, inside = raw[mono, 0:1], raw[mono, 1:2] * filled
    inside = torch.minimum(inside, 1 - line)
    out = raw.clone()
    out[mono, :3] = line * ink[..., None, None] + inside * paper[..., None, None]
    out[mono, 3:] = line + inside
    return out


def placed(raw: Tensor, flip: Tensor, size: int, chance: Chance) -> Tensor:
    """Each drawing at some size and place of the frame, turned a little, and mirrored where `flip` allows it."""
    scale = chance.between(0.55, 1.12)
    scale = torch.where(chance.often(0.6), chance.between(0.72, 0.98), scale)
    angle = chance.normal() * 0.1
    angle = torch.where(chance.often(0.1), chance.normal() * 0.35, angle)
    stretch, shear = chance.between(0.88, 1.14), chance.normal() * 0.05
    mirror = torch.where(chance.often(0.5) & flip, -1.0, 1.0)
    room = 0.7 * (1 - scale).clamp(min=0) + 0.04
    move = chance.between(-1, 1, 2) * room[:, None]
    cos, sin = angle.cos(), angle.sin()
    rows = torch.stack(
        [
            torch.stack([mirror * (cos + shear * sin), -mirror * (sin - shear * cos), move[:, 0] * 0], 1),
            torch.stack([sin * stretch, cos * stretch, move[:, 1] * 0], 1),
        ],
        1,
    )
    rows = rows / scale[:, None, None]
    rows[:, :, 2] = -(rows[:, :, :2] @ move[..., None])[..., 0]
    grid = F.affine_grid(rows, [len(raw), 4, size, size], align_corners=False)
    return F.grid_sample(raw, grid, align_corners=False)


def recoloured(drawing: Tensor, chance: Chance) -> Tensor:
    """Other hues, saturation, contrast and brightness of what is drawn."""
    batch = len(drawing)
    hue = chance.normal() * 0.13
    hue = torch.where(chance.often(0.07), chance.between(-3.1, 3.1), hue)
    saturation = chance.between(0.5, 1.5)
    saturation = torch.where(chance.often(0.08), torch.zeros(batch), saturation)
    third, root = 1 / 3, 3**-0.5
    cos, sin = hue.cos().view(-1, 1, 1), hue.sin().view(-1, 1, 1)
    cross = torch.tensor([[0, -root, root], [root, 0, -root], [-root, root, 0]])
    turn = cos * torch.eye(3) + (1 - cos) * third * torch.ones(3, 3) + sin * cross
    grey = GREY.expand(3, 3)
    matrix = (grey + saturation.view(-1, 1, 1) * (torch.eye(3) - grey)) @ turn
    matrix = matrix * chance.between(0.75, 1.25).view(-1, 1, 1)
    alpha = drawing[:, 3:]
    colour = (matrix @ drawing[:, :3].flatten(2)).view(drawing[:, :3].shape)
    colour = colour + alpha * (chance.normal(3, 1, 1) * 0.05)
    return torch.cat([torch.minimum(colour.clamp(min=0), alpha), alpha], 1)


def backgrounds(size: int, chance: Chance) -> Tensor:
    """White, plain colours, gradients, soft spots, stripes, and blurred colours as in a photograph."""
    batch = chance.batch
    kind = torch.rand(batch, generator=chance.generator)
    one, two = chance.between(0, 1, 3, 1, 1), chance.between(0, 1, 3, 1, 1)
    pale = chance.often(0.5).view(-1, 1, 1, 1)
    one, two = torch.where(pale, 0.6 + 0.4 * one, one), torch.where(pale, 0.6 + 0.4 * two, two)
    steps = torch.linspace(-1, 1, size)
    direction = chance.between(0, 6.28)
    along = direction.cos().view(-1, 1, 1) * steps + direction.sin().view(-1, 1, 1) * steps.view(-1, 1)
    soft = F.interpolate(chance.between(0, 1, 1, 5, 5), size=(size, size), mode="bilinear")[:, 0]
    stripes = (along * chance.between(6, 30).view(-1, 1, 1)).sin() > 0
    pattern = torch.where((kind < 0.68).view(-1, 1, 1), (along + 1) / 2, soft)
    pattern = torch.where((kind > 0.92).view(-1, 1, 1), stripes.float(), pattern)
    made = one + (two - one) * pattern[:, None].clamp(0, 1)
    photo = (kind > 0.8) & (kind <= 0.92)
    rough = F.interpolate(torch.rand(batch, 3, 4, 4, generator=chance.generator), size=(size, size), mode="bilinear")
    fine = F.interpolate(torch.rand(batch, 3, 16, 16, generator=chance.generator), size=(size, size), mode="bilinear")
    made = torch.where(photo.view(-1, 1, 1, 1), 0.7 * rough + 0.3 * fine, made)
    made = torch.where((kind < 0.6).view(-1, 1, 1, 1), one.expand_as(made), made)
    return torch.where((kind < 0.36).view(-1, 1, 1, 1), torch.ones(()), made)


def spoilt(image: Tensor, chance: Chance) -> Tensor:
    """Some pictures blurred, noisy, grey, of other contrast, or JPEGs of low quality."""
    pairs = image + image.roll(1, 2)
    soft = (pairs + pairs.roll(1, 3)) / 4
    amount = chance.between(-0.5, 1) * chance.often(0.5)
    image = image + (soft - image) * amount.view(-1, 1, 1, 1)
    noisy = chance.often(0.15)
    image[noisy] += torch.randn(image[noisy].shape, generator=chance.generator) * 0.04
    grey = chance.often(0.06)
    image[grey] = (image[grey] * GREY.view(3, 1, 1)).sum(1, keepdim=True)
    contrast = 1 + chance.normal(1, 1, 1) * 0.08
    image = ((image - 0.5) * contrast + 0.5 + chance.normal(1, 1, 1) * 0.03).clamp(0, 1)
    for i in chance.often(0.06).nonzero()[:, 0].tolist():
        pixels = (image[i] * 255).byte()
        image[i] = decode_jpeg(encode_jpeg(pixels, quality=40 + i % 50)).float() / 255
    return image


def pictures(raw: Tensor, mono: Tensor, flip: Tensor, size: int, seed: int) -> tuple[Tensor, Tensor]:
    """Training pictures in 0..1 of stored drawings [B, side, side, 4] uint8, and where in them there is a drawing."""
    chance = Chance(len(raw), seed)
    drawing = raw.permute(0, 3, 1, 2).float() / 255
    drawing = placed(coloured(drawing, mono, chance), flip, size, chance)
    drawing = recoloured(drawing, chance)
    image = drawing[:, :3] + (1 - drawing[:, 3:]) * backgrounds(size, chance)
    return spoilt(image, chance), drawing[:, 3:]


def normalised(image: Tensor) -> Tensor:
    """As preprocessor_config.json says."""
    return (image - MEAN) / STD
