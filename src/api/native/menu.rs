//! The menu of a 400 number, as a field of requests and answers:
//! `{"prompt": "welcome", "choices": {"1": "138…", "2": ["139…", "137…"]}, "default": "1"}`.

use serde_json::{Map, Value, json};

use super::view;
use crate::api::error::ApiError;
use crate::api::fields::{Fields, missing, wrong};
use crate::base::number::{NumberPlan, RealNumber};
use crate::masking::keyed::Keyed;
use crate::masking::menu::{Choice, Menu};

const SHAPE: &str =
    r#"an object {"prompt": NAME, "choices": {KEYS: NUMBER or a list of them}, "default": KEYS}"#;

/// `menu`; as text it is the same in JSON, as a file of `umbra export` has it.
pub(super) fn read(fields: &mut Fields, plan: &NumberPlan) -> Result<Option<Menu>, ApiError> {
    let object = match fields.value("menu") {
        None => return Ok(None),
        Some(Value::String(text)) => serde_json::from_str(&text).map_err(|_| wrong("menu", SHAPE))?,
        Some(other) => other,
    };
    let Value::Object(_) = object else {
        return Err(wrong("menu", SHAPE));
    };
    let mut menu = Fields::of_value(object)?;
    let choices = match menu.value("choices") {
        Some(Value::Object(choices)) => choices,
        Some(_) => return Err(wrong("menu", SHAPE)),
        None => return Err(missing("menu.choices")),
    };
    let read = Menu {
        prompt: menu.needed_text("prompt").map_err(inside)?.into(),
        choices: choices
            .iter()
            .map(|(keys, to)| choice(keys, to, plan))
            .collect::<Result<_, _>>()?,
        default: menu
            .text("default")
            .map_err(inside)?
            .map(|text| keys_of(&text))
            .transpose()?,
    };
    menu.done().map_err(inside)?;
    Ok(Some(read))
}

fn choice(keys: &str, to: &Value, plan: &NumberPlan) -> Result<Choice, ApiError> {
    let keys = keys_of(keys)?;
    let numbers = match to {
        Value::String(_) => std::slice::from_ref(to),
        Value::Array(list) => list.as_slice(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => &[],
    };
    let number = |text: &Value| {
        let read = text.as_str().map(|text| plan.normalise(text));
        let read = read.and_then(Result::ok).map(RealNumber::new);
        read.ok_or_else(|| {
            let sentence = format!("menu.choices: {keys} has to lead to a number, or a list of numbers");
            ApiError::bad("bad_number", "menu", sentence)
        })
    };
    Ok(Choice {
        keys,
        to: numbers.iter().map(number).collect::<Result<_, _>>()?,
    })
}

fn keys_of(text: &str) -> Result<Keyed, ApiError> {
    let read = text.parse::<Keyed>().ok();
    // `1#` is how 1 may be keyed, and not another answer.
    read.filter(|keys| keys.to_string() == text)
        .ok_or_else(|| wrong("menu", "one whose answers are digits, or * or # alone"))
}

/// A fault of a field inside.
fn inside(fault: ApiError) -> ApiError {
    ApiError {
        message: format!("in menu: {}", fault.message),
        field: fault.field.map(|field| format!("menu.{field}")),
        ..fault
    }
}

/// What is shown of it, numbers in full.
pub(super) fn show(menu: &Menu, plan: &NumberPlan) -> Value {
    let choices: Map<String, Value> = menu
        .choices
        .iter()
        .map(|Choice { keys, to }| {
            let to: Vec<String> = to.iter().map(|number| view::real(*number, plan)).collect();
            let to = match to.as_slice() {
                [one] => json!(one),
                several => json!(several),
            };
            (keys.to_string(), to)
        })
        .collect();
    json!({
        "prompt": menu.prompt,
        "choices": choices,
        "default": menu.default.map(|keys| keys.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(menu: &str) -> Result<Option<Menu>, ApiError> {
        let mut fields = Fields::of_json(format!(r#"{{"menu":{menu}}}"#).as_bytes()).expect("JSON");
        read(&mut fields, &NumberPlan::default())
    }

    #[test]
    fn a_menu_is_shown_as_it_is_read_and_may_stand_in_a_text() {
        let plan = NumberPlan::default();
        let text = r#"{"choices":{"*":"13800000001","1":["13800000001","057187654321"]},"prompt":"welcome"}"#;
        let menu = read_text(text).expect("a menu").expect("a menu");
        let shown = show(&menu, &plan);
        assert_eq!(
            shown,
            json!({
                "prompt": "welcome",
                "choices": {"*": "+8613800000001", "1": ["+8613800000001", "+8657187654321"]},
                "default": null,
            })
        );
        let quoted = Value::from(shown.to_string()).to_string();
        assert_eq!(read_text(&quoted).expect("a menu"), Some(menu));
    }

    #[test]
    fn what_is_no_menu_is_refused_by_its_place() {
        for (menu, place) in [
            ("5", "menu has to be an object"),
            ("\"{\"", "menu has to be an object"),
            (r#"{"choices":{}}"#, "in menu: prompt is missing"),
            (r#"{"prompt":"p"}"#, "menu.choices is missing"),
            (
                r#"{"prompt":"p","choices":{"1#":"13800000001"}}"#,
                "answers are digits",
            ),
            (
                r#"{"prompt":"p","choices":{"1":"138x"}}"#,
                "menu.choices: 1 has to lead",
            ),
            (
                r#"{"prompt":"p","choices":{"1":[5]}}"#,
                "menu.choices: 1 has to lead",
            ),
            (
                r#"{"prompt":"p","choices":{"1":"13800000001"},"colour":1}"#,
                "in menu: there is no field colour",
            ),
        ] {
            let fault = read_text(menu).expect_err(menu);
            assert!(fault.message.contains(place), "{}", fault.message);
        }
    }
}
