//! Warns of labels in a script that the checkpoint's vocabulary hardly knows: the model reads them letter by letter or
//! not at all, so scores mean little.

use zsic::Checkpoint;
use zsic::text::Tokenizer;

use super::{Label, shown};

/// The most words that are examined, which bounds the time for long lists.
const WORDS: usize = 200;

/// The number of tokens per letter above which a vocabulary hardly knows a script. A Chinese, Japanese or Korean
/// character counts as two letters. With the vocabulary of `openai/clip-vit-*`, names of animals and things take:
/// Arabic 0.96, Persian 1.13, Russian 1.18, Greek, Hebrew and Armenian 2.00, Thai 1.18, Hindi 1.33, Bengali 1.86,
/// Chinese 1.40, Korean 0.93, Japanese 0.92, and no single word less than 0.62. A vocabulary with a token for every
/// Chinese character takes 0.5, one with whole words takes less.
const TOKENS_A_LETTER: f64 = 0.55;

/// Returns a warning if prompts have words in scripts that the checkpoint's vocabulary hardly knows. Reads the
/// vocabulary only if there are words that are not Latin.
///
/// # Errors
/// If the tokenizer cannot be read.
pub fn unknown(labels: &[Label], checkpoint: &Checkpoint) -> zsic::Result<Option<String>> {
    let foreign = |label| Some((label, foreign_word(label)?));
    let words: Vec<(&Label, &str)> = labels.iter().filter_map(foreign).take(WORDS).collect();
    let Some((_, first)) = words.first() else { return Ok(None) };
    let tokenizer = checkpoint.tokenizer()?;
    if !is_spelled(&tokenizer, words.iter().map(|(_, word)| *word))? {
        return Ok(None);
    }
    Ok(Some(format!(
        "the checkpoint hardly knows the script of `{}`, and scores mean little; write labels in English, or use a \
         multilingual checkpoint such as google/siglip2-base-patch16-224",
        shown(first)
    )))
}

/// Returns the first word that is not in Latin script. A single letter is a sign, like the π of mathematics.
fn foreign_word(label: &Label) -> Option<&str> {
    let prompts = label.prompts.iter().filter(|prompt| !prompt.is_ascii());
    let words = prompts.flat_map(|prompt| prompt.split_whitespace());
    words.map(|word| word.trim_matches(|c: char| !c.is_alphanumeric())).find(|word| letters(word) > 1)
}

/// Counts letters that are not Latin. Characters that stand for a syllable or more count twice.
fn letters(word: &str) -> usize {
    word.chars()
        .filter(|c| c.is_alphabetic())
        .map(|c| match c {
            '\0'..='\u{2af}' | '\u{1d00}'..='\u{1dbf}' | '\u{1e00}'..='\u{1eff}' | '\u{2071}'..='\u{218f}' => 0,
            '\u{2c60}'..='\u{2c7f}' | '\u{a720}'..='\u{a7ff}' | '\u{ab30}'..='\u{ab6f}' | '\u{fb00}'..='\u{fb06}' => 0,
            '\u{ff21}'..='\u{ff5a}'
            | '\u{1d400}'..='\u{1d7ff}'
            | '\u{1f100}'..='\u{1f1ff}'
            | '\u{24b6}'..='\u{24e9}' => 0,
            '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}' | '\u{20000}'.. => 2,
            _ => 1,
        })
        .sum()
}

/// Returns whether the tokenizer spells the words letter by letter, or has no token for a part of one.
fn is_spelled<'a>(tokenizer: &Tokenizer, words: impl Iterator<Item = &'a str>) -> zsic::Result<bool> {
    let ends = tokenizer.encode("")?.len();
    let (mut tokens, mut letters) = (0, 0);
    for word in words {
        let ids = tokenizer.encode(word)?;
        if tokenizer.unknown().is_some_and(|unknown| ids.contains(&unknown)) {
            return Ok(true);
        }
        tokens += ids.len().saturating_sub(ends);
        letters += self::letters(word);
    }
    Ok(tokens as f64 >= TOKENS_A_LETTER * letters as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use zsic::checkpoint::Files;

    #[test]
    fn a_vocabulary_that_has_words_of_a_script_knows_it() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tokens");
        let tokenizer =
            Tokenizer::open(&Files::directory(dir), &zsic::text::TokenizerPlan::of(zsic::text::TokenizerClass::Clip))
                .unwrap();
        let is_spelled = |words: &[&'static str]| is_spelled(&tokenizer, words.iter().copied()).unwrap();
        assert!(!is_spelled(&["кошка"]) && !is_spelled(&["γάτα"]), "it was trained on these");
        assert!(is_spelled(&["медведь"]) && is_spelled(&["猫"]) && is_spelled(&["صورة", "قطة"]));
    }

    #[test]
    fn words_in_latin_letters_and_signs_are_no_script() {
        for word in ["crème", "cre\u{300}me", "người", "İstanbul", "ＣＡＴ", "𝒞𝒶𝓉", "Ⓒⓐⓣ", "ﬁre", "😀", "☀️", "№5", "𐐀"]
        {
            assert!(letters(word) < 2, "{word}");
        }
        for (word, count) in [("кошка", 5), ("猫", 2), ("고양이", 6), ("ネコ", 4), ("wi-fi猫", 2), ("Ω", 1)]
        {
            assert_eq!(letters(word), count, "{word}");
        }
    }
}
