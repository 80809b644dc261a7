//! An error as one text for a person.

/// The error and its causes, each said once: many errors of the libraries repeat their cause, for logs that show no causes.
pub(crate) fn explain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = text + ": " + &cause;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot open the door: {source}; knock")]
    struct Repeats {
        source: std::io::Error,
    }

    #[test]
    fn a_cause_that_the_error_repeats_is_said_once() {
        let error = anyhow::Error::from(Repeats { source: std::io::Error::other("it is locked") });
        let error = error.context("cannot go in");
        assert_eq!(explain(&error), "cannot go in: cannot open the door: it is locked; knock");
    }

    #[test]
    fn a_cause_that_only_the_chain_knows_is_said_too() {
        let error = anyhow::Error::from(std::io::Error::other("it is locked")).context("cannot go in");
        assert_eq!(explain(&error), "cannot go in: it is locked");
    }
}
