//! `--vary`: every combination of models, precisions and templates or classifiers.

use anyhow::Result;

use super::super::args::{LabelArgs, Machine};
use super::super::fatal::usage;
use super::super::labels;

const KINDS: [&str; 5] = ["model", "precision", "template", "template-set", "classifier"];

/// What one run differs in from the others: kinds and values.
pub type Variant = Vec<(&'static str, String)>;

/// Flags with other values. Every machine runs every set of labels, on the same embeddings of images.
pub struct Varied {
    pub machines: Vec<(Machine, Variant)>,
    pub labels: Vec<(LabelArgs, Variant)>,
}

/// Returns the flags of every combination.
///
/// # Errors
/// A usage error for another kind, a value that is no value, or none.
pub fn combinations(vary: &[String], machine: &Machine, labels: &LabelArgs) -> Result<Varied> {
    let kinds = vary.iter().map(|text| parse(text)).collect::<Result<Vec<_>>>()?;
    let twice = kinds.iter().enumerate().find(|(at, (kind, _))| kinds[..*at].iter().any(|(other, _)| other == kind));
    if let Some((_, (kind, _))) = twice {
        return Err(usage(format!("--vary {kind} is given twice; separate its values by commas")));
    }
    let (of_machine, of_labels): (Vec<_>, Vec<_>) = kinds.into_iter().partition(|(kind, _)| KINDS[..2].contains(kind));
    if let (Some((kind, _)), Some(_)) =
        (of_labels.iter().find(|(kind, _)| *kind != KINDS[4]), &labels.examples.classifier)
    {
        return Err(usage(format!("--vary {kind} changes no score of --classifier, whose rows are fixed")));
    }
    if of_labels.iter().any(|(kind, _)| *kind == KINDS[4]) && labels.examples.classifier.is_some() {
        return Err(usage("give --classifier or --vary classifier, not both"));
    }
    let LabelArgs { template, template_set, examples, .. } = labels;
    let is_given = !template.is_empty() || template_set.is_some();
    if of_labels.len() > 1 || is_given && !of_labels.is_empty() {
        return Err(usage(
            "--vary template, --vary template-set and --vary classifier each replace all other templates; give one of them",
        ));
    }
    let are_named = labels.names_any() || examples.examples.is_some();
    if are_named && of_labels.iter().any(|(kind, _)| *kind == KINDS[4]) {
        return Err(usage("--vary classifier brings labels of its own; leave out other labels and examples"));
    }
    let of_labels = product(&of_labels).into_iter().map(|variant| (with_template(labels, &variant), variant));
    let of_machine = product(&of_machine).into_iter().map(|variant| Ok((with_model(machine, &variant)?, variant)));
    Ok(Varied { machines: of_machine.collect::<Result<_>>()?, labels: of_labels.collect() })
}

fn with_model(machine: &Machine, variant: &Variant) -> Result<Machine> {
    let mut machine = machine.clone();
    for (kind, value) in variant {
        if *kind == "model" {
            machine.model = Some(value.into());
            machine.typed.model = true;
        } else {
            let precision = value.parse();
            let wrong = |_| usage(format!("--vary precision=`{value}`: use auto, f32, bf16 or f16"));
            machine.precision = precision.map_err(wrong)?;
        }
    }
    Ok(machine)
}

fn with_template(labels: &LabelArgs, variant: &Variant) -> LabelArgs {
    let mut labels = labels.clone();
    for (kind, value) in variant {
        match *kind {
            "template" => labels.template = vec![value.clone()],
            "template-set" => labels.template_set = Some(value.into()),
            _ => labels.examples.classifier = Some(value.into()),
        }
    }
    labels
}

/// Parses `KIND=A,B`.
fn parse(text: &str) -> Result<(&'static str, Vec<String>)> {
    let wrong = || {
        usage(format!(
            "--vary `{}`: write one of {} and its values, as in precision=auto,bf16",
            labels::shown(text),
            KINDS.join(", ")
        ))
    };
    let (kind, values) = text.split_once('=').ok_or_else(wrong)?;
    let kind = KINDS.into_iter().find(|known| *known == kind.trim()).ok_or_else(wrong)?;
    let values = labels::split(values);
    if values.iter().any(String::is_empty) { Err(wrong()) } else { Ok((kind, values)) }
}

/// Returns one value of each kind, in every combination.
fn product(kinds: &[(&'static str, Vec<String>)]) -> Vec<Variant> {
    let mut all = vec![Variant::new()];
    for (kind, values) in kinds {
        let with = |variant: Variant| {
            values.iter().map(move |value| variant.iter().cloned().chain([(*kind, value.clone())]).collect())
        };
        all = all.into_iter().flat_map(with).collect();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_is_there_once() {
        let kinds = ["precision=auto,bf16", r"template=a {}\, small,{}"].map(|text| parse(text).unwrap());
        let all = product(&kinds);
        let values: Vec<Vec<&str>> =
            all.iter().map(|variant| variant.iter().map(|(_, value)| value.as_str()).collect()).collect();
        assert_eq!(values, [["auto", "a {}, small"], ["auto", "{}"], ["bf16", "a {}, small"], ["bf16", "{}"]]);
        assert_eq!(product(&[]), [Variant::new()]);
        for wrong in ["model", "size=1,2", "model=", "model=a,,b"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
