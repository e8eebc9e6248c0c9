//! A tower as data: its sizes, the order of its parts, and the names of its weights. A family describes it, `tower.rs`
//! loads it, and `engine.rs` and `tensors.rs` compute it.

use serde::Deserialize;

use crate::preprocess::Pixels;

/// An image tower or a text tower, by its stem.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TowerSpec<Stem> {
    /// The prefix of its weights' names.
    pub root: &'static str,
    /// From pixels or tokens to rows.
    pub stem: Stem,
    /// The name of a norm between the stem and the blocks.
    pub pre_norm: Option<&'static str>,
    /// The blocks.
    pub blocks: BlockSpec,
    /// The name of a norm after the blocks.
    pub post_norm: Option<&'static str>,
    /// How an item's rows become one.
    pub pool: Pool,
    /// The products that the pooled row goes through, in order.
    pub head: &'static [HeadSpec],
    /// Values in an embedding.
    pub dim: usize,
}

/// How the rows of an item become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pool {
    /// One of them, which the stem chooses.
    Row,
    /// Their mean, without the first `skip` of them. The norm after the blocks comes before or after it.
    Mean {
        /// The number of rows that are left out: the class row.
        skip: usize,
        /// Whether the norm applies to the rows instead of their mean.
        norm_first: bool,
    },
    /// A learned query attends to all rows after the norm. Its row goes through an MLP like the blocks'.
    Attention,
}

/// A product of the head. The last one has one output per value of an embedding; the weights give the outputs of the
/// others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadSpec {
    /// Its name, outside the tower's root.
    pub name: &'static str,
    /// Whether it has a bias.
    pub bias: bool,
    /// The nonlinearity after it.
    pub act: Option<HiddenAct>,
}

impl HeadSpec {
    /// Describes a product without a bias and without a nonlinearity.
    pub const fn plain(name: &'static str) -> Self {
        Self { name, bias: false, act: None }
    }
}

/// The patches of an image. A class row may precede them; then it is the pooled row. Positions are added to all rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageStem {
    /// The side in pixels of the square image that the positions describe.
    pub side: usize,
    /// A patch's side in pixels.
    pub patch: usize,
    /// Whether patches have a bias.
    pub bias: bool,
    /// Whether there is a class row.
    pub class: bool,
    /// How positions are made for an image of another size. None if there are no other sizes.
    pub resize: Option<PositionResize>,
}

impl ImageStem {
    /// Returns the rows and columns of patches that the positions are of.
    pub fn table(&self) -> (usize, usize) {
        (self.side / self.patch, self.side / self.patch)
    }

    /// Returns the rows and columns of an image's patches.
    pub fn grid(&self, pixels: &Pixels) -> (usize, usize) {
        (pixels.height() / self.patch, pixels.width() / self.patch)
    }

    /// Returns the number of an image's rows.
    pub fn rows(&self, pixels: &Pixels) -> usize {
        let (rows, columns) = self.grid(pixels);
        usize::from(self.class) + rows * columns
    }
}

/// How a table of positions is resized. Positions outside the table are those at its edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PositionResize {
    /// Cubic interpolation (a = -0.75) of the four nearest in each direction, at any scale: torch's `bicubic`.
    Bicubic,
    /// Linear interpolation, over all positions that fall together if the table shrinks: torch's antialiased
    /// `bilinear`.
    BilinearAntialiased,
}

/// Embeddings of tokens; positions are added. One row of each prompt is pooled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenStem {
    /// The number of tokens with an embedding.
    pub vocabulary: usize,
    /// The number of positions with an embedding.
    pub positions: usize,
    /// The token after whose id positions are counted. It is not counted: its own position is its id.
    pub uncounted: Option<u32>,
    /// Whether tokens have types. All are of the first type, whose embedding is added to every position.
    pub types: bool,
    /// The most tokens of a prompt.
    pub length: usize,
    /// The row that is pooled.
    pub pool: PromptPool,
    /// The padding after a prompt up to its full length, if rows attend to it.
    pub filling: Filling,
    /// Whether the reference cuts prompts that are too long by default.
    pub cuts: bool,
}

impl TokenStem {
    /// Returns the position of each token of a prompt.
    pub fn positions_of(&self, ids: &[u32]) -> Vec<usize> {
        let Some(uncounted) = self.uncounted else { return (0..ids.len()).collect() };
        let own = uncounted as usize;
        let mut last = own;
        let position = |&id: &u32| {
            last += usize::from(id != uncounted);
            if id == uncounted { own } else { last }
        };
        ids.iter().map(position).collect()
    }
}

/// The padding of a prompt up to the model's length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filling {
    /// Nothing: no row depends on what follows a prompt.
    None,
    /// The tokenizer's token for padding.
    Padding,
    /// The same, but no row attends to it if the tokenizer's settings ask for a mask.
    PaddingUnlessMasked,
    /// A token.
    Token(u32),
}

/// Which row stands for a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptPool {
    /// The first.
    First,
    /// The first of the largest id.
    LargestId,
    /// The first of this id, or row 0 if it is absent.
    FirstOf(u32),
    /// The last, even if it is padding.
    Last,
}

impl PromptPool {
    /// Returns the position of the row, below the number of `ids`.
    pub fn position(self, ids: &[u32]) -> usize {
        let id = match self {
            Self::LargestId => ids.iter().copied().max().unwrap_or(0),
            Self::FirstOf(id) => id,
            Self::First => return 0,
            Self::Last => return ids.len().saturating_sub(1),
        };
        ids.iter().position(|&i| i == id).unwrap_or(0)
    }
}

/// A stack of blocks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BlockSpec {
    /// Values in a row.
    pub width: usize,
    /// Values between the two products of the MLP.
    pub mlp_width: usize,
    /// Attention heads.
    pub heads: usize,
    /// Blocks.
    pub layers: usize,
    /// The MLP's nonlinearity.
    pub act: HiddenAct,
    /// Added to the variance in all layer norms, including those around the blocks.
    pub eps: f64,
    /// Which rows of an item attend to which. Both backends take it from here.
    pub mask: Mask,
    /// Where a block's norms are.
    pub order: Order,
}

/// Where the norms of a block are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// `x + attention(norm1(x))`, then `x + mlp(norm2(x))`.
    PreNorm,
    /// `norm1(x + attention(x))`, then `norm2(x + mlp(x))`.
    PostNorm,
}

/// Which rows of an item a row attends to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mask {
    /// All.
    None,
    /// Itself and those before it.
    Causal,
}

/// The nonlinearity between the two products of an MLP, by its names in transformers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HiddenAct {
    /// `x * sigmoid(1.702 x)`
    QuickGelu,
    /// `x * Phi(x)`, by the error function
    Gelu,
    /// `x * Phi(x)`, by the tanh approximation
    #[serde(alias = "gelu_new")]
    GeluPytorchTanh,
    /// `max(x, 0)`
    Relu,
}

/// Products of the same input, all of one shape. Their outputs are concatenated.
#[derive(Debug, Clone)]
pub struct LinearSpec<'a> {
    /// The names of the weights, `[output, ..]` each.
    pub weights: Vec<String>,
    /// The names of the biases, `[output]` each; empty if there are none.
    pub biases: Vec<String>,
    /// The shape of each weight, output first; the rest is the input.
    pub shape: &'a [usize],
    /// Whether it stays f32 in every precision, which costs almost nothing at the ends of a tower.
    pub exact: bool,
}

impl<'a> LinearSpec<'a> {
    /// Describes products called `name.weight`, and `name.bias` if there is a `bias`.
    pub fn new(names: &[&str], shape: &'a [usize], bias: bool) -> Self {
        let all = |part: &str| names.iter().map(|name| format!("{name}.{part}")).collect();
        Self { weights: all("weight"), biases: if bias { all("bias") } else { Vec::new() }, shape, exact: false }
    }

    /// Describes the same products, in f32 whatever the precision.
    pub fn exact(self) -> Self {
        Self { exact: true, ..self }
    }

    /// Returns the number of input values.
    pub fn input(&self) -> usize {
        self.shape[1..].iter().product()
    }

    /// Returns the number of output values.
    pub fn output(&self) -> usize {
        self.weights.len() * self.shape[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pooling_rules() {
        let ids = [7, 3, 9, 5, 9, 2];
        assert_eq!(PromptPool::LargestId.position(&ids), 2);
        assert_eq!(PromptPool::FirstOf(5).position(&ids), 3);
        assert_eq!(PromptPool::FirstOf(99).position(&ids), 0);
        assert_eq!((PromptPool::Last.position(&ids), PromptPool::Last.position(&[])), (5, 0));
        assert_eq!(PromptPool::First.position(&ids), 0);
    }
}
