//! A JUnit report of `expect`: one suite with one test case. Characters that XML cannot contain are escaped.

use std::time::Duration;

use crate::event::{escape_attribute, escape_text};
use crate::sanitize::visible;

const CLASS: &str = "hookfire.expect";

#[derive(Debug)]
pub struct Case {
    pub name: String,
    pub took: Duration,
    /// None if the test passed.
    pub problem: Option<Problem>,
    pub output: String,
}

#[derive(Debug)]
pub struct Problem {
    /// A failure of what was tested, rather than an error of the test itself.
    pub is_failure: bool,
    pub kind: &'static str,
    pub message: String,
    pub details: String,
}

pub fn document(case: &Case) -> String {
    let attribute = |words: &str| escape_attribute(&visible(words));
    let text = |words: &str| escape_text(&visible(words));
    let problem = case.problem.as_ref();
    let failures = usize::from(problem.is_some_and(|problem| problem.is_failure));
    let errors = usize::from(problem.is_some_and(|problem| !problem.is_failure));
    let time = format!("{:.3}", case.took.as_secs_f64());
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <testsuite name=\"{CLASS}\" tests=\"1\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"0\" time=\"{time}\">\n  \
         <testcase classname=\"{CLASS}\" name=\"{}\" time=\"{time}\">\n",
        attribute(&case.name)
    );
    if let Some(Problem {
        is_failure,
        kind,
        message,
        details,
    }) = problem
    {
        let element = if *is_failure { "failure" } else { "error" };
        xml.push_str(&format!(
            "    <{element} type=\"{}\" message=\"{}\">{}</{element}>\n",
            attribute(kind),
            attribute(message),
            text(details)
        ));
    }
    if !case.output.is_empty() {
        xml.push_str(&format!(
            "    <system-out>{}</system-out>\n",
            text(&case.output)
        ));
    }
    xml.push_str("  </testcase>\n</testsuite>\n");
    xml
}

#[cfg(test)]
mod tests {
    use super::*;
    use roxmltree::Document;

    const NASTY: &str = "a<b>&\"'\u{1b}[2J\u{0}\u{ffff}\n\u{9b}]]>";

    #[test]
    fn hostile_text_yields_well_formed_xml() {
        let problem = Problem {
            is_failure: true,
            kind: "unmet",
            message: NASTY.into(),
            details: NASTY.into(),
        };
        let case = Case {
            name: NASTY.into(),
            took: Duration::from_millis(1500),
            problem: Some(problem),
            output: NASTY.into(),
        };
        let xml = document(&case);
        let document = Document::parse(&xml).unwrap();
        let suite = document.root_element();
        assert_eq!(
            (suite.attribute("tests"), suite.attribute("failures")),
            (Some("1"), Some("1"))
        );
        let failure = document
            .descendants()
            .find(|node| node.has_tag_name("failure"))
            .unwrap();
        let shown = "a<b>&\"'\\u{1b}[2J\\u{0}\u{fffd}\n\\u{9b}]]>";
        assert_eq!(
            (failure.attribute("message"), failure.text()),
            (Some(shown), Some(shown))
        );
        let output = document
            .descendants()
            .find(|node| node.has_tag_name("system-out"))
            .unwrap();
        assert_eq!(output.text(), Some(shown));
    }

    #[test]
    fn a_passed_case_has_no_failure_element() {
        let xml = document(&Case {
            name: "x".into(),
            took: Duration::from_millis(7),
            problem: None,
            output: String::new(),
        });
        insta::assert_snapshot!(xml, @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuite name="hookfire.expect" tests="1" failures="0" errors="0" skipped="0" time="0.007">
          <testcase classname="hookfire.expect" name="x" time="0.007">
          </testcase>
        </testsuite>
        "#);
    }
}
