//! Offline runs: the command that fetches what is missing, to be pasted where there is a network.

use std::ffi::OsString;

use zsic::Checkpoint;

use super::known::DEMO;

/// A command to paste that needs no network, in a build that has the built-in checkpoint: what was typed, with that as its
/// model. None where it cannot be written down so that it works.
pub fn without_network() -> Option<String> {
    Checkpoint::demo().ok()?;
    let words: Vec<String> = std::env::args_os().map(OsString::into_string).collect::<Result<_, _>>().ok()?;
    let mut words = without_model(words);
    let command = words.iter().position(|word| word == "classify" || word == "embed")?;
    words.splice(command + 1..command + 1, ["--model".to_owned(), DEMO.to_owned()]);
    shlex::try_join(words.iter().map(String::as_str)).ok()
}

/// A command's words but for `--model` and what it names.
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
