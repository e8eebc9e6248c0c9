//! `--groups`: csv with the columns `label,group`. A label without a row is its own group.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Result;
use csv::{ReaderBuilder, Trim};
use zsic::Groups;

use super::super::fatal::usage;
use super::super::text;
use super::{NAMED, shown};

/// Reads the rows `label,group`, without a header of these words.
///
/// # Errors
/// A usage error for a file that cannot be read, a row of another form, or a label with two groups.
pub fn read(path: &Path) -> Result<Vec<(String, String)>> {
    let text = text::read(path)?;
    let wrong = |reason: String| usage(format!("{}: {reason}", text::name(path)));
    let mut reader =
        ReaderBuilder::new().has_headers(false).flexible(true).trim(Trim::All).from_reader(text.as_bytes());
    let (mut rows, mut of) = (Vec::new(), HashMap::<String, String>::new());
    for row in reader.records() {
        let row = row.map_err(|e| wrong(format!("is not csv: {e}")))?;
        let line = row.position().map_or(0, csv::Position::line);
        let [label, group] = [row.get(0), row.get(1)].map(Option::unwrap_or_default);
        if label.is_empty() || group.is_empty() || row.len() > 2 {
            return Err(wrong(format!("line {line}: write a label and its group, as in `husky,dog`")));
        }
        if rows.is_empty()
            && of.is_empty()
            && label.eq_ignore_ascii_case("label")
            && group.eq_ignore_ascii_case("group")
        {
            continue;
        }
        match of.insert(label.to_owned(), group.to_owned()) {
            None => rows.push((label.to_owned(), group.to_owned())),
            Some(earlier) if earlier == group => {}
            Some(earlier) => {
                let label = shown(label);
                return Err(wrong(format!(
                    "line {line}: the label `{label}` has the group `{}` already",
                    shown(&earlier)
                )));
            }
        }
    }
    if rows.is_empty() {
        Err(wrong("has no rows; write one label and its group per line".to_owned()))
    } else {
        Ok(rows)
    }
}

/// Returns the groups of labels, in the order of their first labels, and a warning about rows for other labels.
pub fn of(labels: &[&str], rows: &[(String, String)], path: &Path) -> (Groups, Option<String>) {
    let mut rows: HashMap<&str, &str> = rows.iter().map(|(label, group)| (&**label, &**group)).collect();
    let mut groups = Groups { names: Vec::new(), of: Vec::new() };
    let mut places = HashMap::new();
    for label in labels {
        let name = rows.remove(label).unwrap_or(label);
        let place = *places.entry(name).or_insert(groups.names.len());
        if place == groups.names.len() {
            groups.names.push(name.to_owned());
        }
        groups.of.push(place);
    }
    let mut others: Vec<&str> = rows.into_keys().collect();
    others.sort_unstable();
    let more = if others.len() > NAMED { format!(", and {} more", others.len() - NAMED) } else { String::new() };
    let named: Vec<String> = others.iter().take(NAMED).map(|name| format!("`{}`", shown(name))).collect();
    let (file, named) = (text::name(path), named.join(", "));
    let warning = (!others.is_empty()).then(|| format!("{file}: these are not among the labels: {named}{more}"));
    (groups, warning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_without_a_row_are_their_own_groups() {
        let rows = [("poodle", "dog"), ("husky", "dog"), ("tabby", "cat")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        let (groups, warning) = of(&["husky", "owl", "poodle"], &rows, Path::new("g.csv"));
        assert_eq!(groups, Groups { names: vec!["dog".into(), "owl".into()], of: vec![0, 1, 0] });
        assert_eq!(warning.unwrap(), "g.csv: these are not among the labels: `tabby`");
    }
}
