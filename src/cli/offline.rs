//! Offline runs: a command to paste that needs no network.

use std::ffi::OsString;

use zsic::Checkpoint;

use super::known::DEMO;

/// Returns a command to paste that needs no network: the typed one with the built-in checkpoint as its model. Returns
/// None in a build without that checkpoint, or if the command cannot be quoted.
pub fn without_network() -> Option<String> {
    Checkpoint::demo().ok()?;
    let words: Vec<String> = std::env::args_os().map(OsString::into_string).collect::<Result<_, _>>().ok()?;
    let mut words = without_model(words);
    let command = words.iter().position(|word| word == "classify" || word == "embed")?;
    words.splice(command + 1..command + 1, ["--model".to_owned(), DEMO.to_owned()]);
    shlex::try_join(words.iter().map(String::as_str)).ok()
}

/// Returns a command's words without `--model` and its value.
fn without_model(words: Vec<String>) -> Vec<String> {
    let mut words = words.into_iter();
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        match word.as_str() {
            "-m" | "--model" => _ = words.next(),
            _ if word.starts_with("--model=") || word.starts_with("-m") => {}
            _ => kept.push(word),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_model_is_taken_out() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        for line in ["zsic classify x -m a/b -l c", "zsic classify x --model=a/b -l c", "zsic classify -ma/b x -l c"] {
            assert_eq!(without_model(words(line)), words("zsic classify x -l c"), "{line}");
        }
        assert_eq!(
            without_model(words("zsic classify x -l c --max-pixels 9")),
            words("zsic classify x -l c --max-pixels 9")
        );
    }
}
