//! Templates against Python's `str.format`, which the pipeline fills its `hypothesis_template` with.

use crate::common::{fixtures, json, strings};
use serde_json::Value;
use zsic::Template;

fn table(name: &str) -> Vec<Value> {
    json(&fixtures("templates").join("format.json"))[name].as_array().unwrap().clone()
}

#[test]
fn prompts_are_what_python_formats() {
    for case in table("filled") {
        let case = strings(&case);
        let template: Template = case[0].parse().unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(template.fill(&case[1]), case[2], "{case:?}");
    }
}

#[test]
fn what_python_refuses_is_refused() {
    for case in table("raises") {
        let case = strings(&case);
        assert!(case[0].parse::<Template>().is_err(), "{case:?}");
    }
}

#[test]
fn a_template_without_a_place_or_with_python_s_further_formatting_is_refused() {
    for template in [table("constant"), table("formatted")].concat() {
        let template = template.as_str().unwrap();
        assert!(template.parse::<Template>().is_err(), "{template}");
    }
}
