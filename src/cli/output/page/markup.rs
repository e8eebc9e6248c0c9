//! Text as HTML and JSON inside a page. Names of files and labels are strangers' words: none of them may end an element, start
//! a script, or change the order of what is read.

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use serde::Serialize;

use super::super::super::terminal::{escaped, printable};

/// Returns text for an element or a quoted attribute. Characters that are invisible or change the order of text are replaced.
pub fn text(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in printable(text).chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            c => html.push(c),
        }
    }
    html
}

/// Returns JSON for a script element, with the same values.
///
/// # Errors
/// If a value is not JSON.
pub fn json(value: &impl Serialize) -> Result<String> {
    let json = serde_json::to_string(value)?;
    // Outside of texts there are none of these.
    let json = json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
    Ok(escaped(&json).into_owned())
}

/// Returns the policy that allows this style, this script, embedded pictures, and nothing else.
pub fn policy(style: &str, script: &str) -> String {
    let hash = |text: &str| STANDARD.encode(digest(&SHA256, text.as_bytes()));
    let (style, script) = (hash(style), hash(script));
    format!(
        "default-src 'none'; img-src data:; style-src 'sha256-{style}'; script-src 'sha256-{script}'; base-uri 'none'; \
         form-action 'none'"
    )
}

/// Returns the parts of a template: text, and the name of the slot behind it, which is empty at the end.
pub fn parts(template: &str) -> impl Iterator<Item = (&str, &str)> {
    template.split("}}").map(|part| part.split_once("{{").unwrap_or((part, "")))
}

/// Returns a number with commas between thousands.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let comma = |(at, digit): (usize, char)| {
        let comma = at > 0 && (digits.len() - at).is_multiple_of(3);
        comma.then_some(',').into_iter().chain([digit])
    };
    digits.chars().enumerate().flat_map(comma).collect()
}

/// Returns a share as a percentage that is never rounded to none or all.
pub fn percent(share: f64) -> String {
    match share {
        share if share > 0.0 && share < 0.001 => "&lt; 0.1 %".to_owned(),
        share if share < 1.0 && share > 0.999 => "&gt; 99.9 %".to_owned(),
        share => format!("{:.1} %", share * 100.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_inert() {
        assert_eq!(text("</script><b a='1' c=\"2\">&"), "&lt;/script&gt;&lt;b a=&#39;1&#39; c=&quot;2&quot;&gt;&amp;");
        assert_eq!(text("a\u{202e}gpj\n\u{0}\u{200b}x"), "a\u{fffd}gpj\u{fffd}\u{fffd}\u{fffd}x");
    }

    #[test]
    fn json_is_inert_and_has_the_same_values() {
        let value = "</script><!--\u{2028}&\u{202e}\"\\\n\u{7f}";
        let json = json(&value).unwrap();
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), value);
        assert!(json.is_ascii() && !json.contains(['<', '>', '&']), "{json}");
    }

    #[test]
    fn a_policy_has_the_hashes_of_what_it_allows() {
        // printf a | openssl dgst -sha256 -binary | base64
        let policy = policy("a", "");
        assert!(policy.contains("style-src 'sha256-ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs='"), "{policy}");
        assert!(policy.contains("script-src 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"), "{policy}");
    }

    #[test]
    fn templates_have_slots() {
        assert_eq!(parts("a{{b}}c{{d}}").collect::<Vec<_>>(), [("a", "b"), ("c", "d"), ("", "")]);
    }

    #[test]
    fn numbers_are_for_people() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        let shares = [0.0, 0.0004, 0.5321, 0.9996, 1.0].map(percent);
        assert_eq!(shares, ["0.0 %", "&lt; 0.1 %", "53.2 %", "&gt; 99.9 %", "100.0 %"]);
    }
}
