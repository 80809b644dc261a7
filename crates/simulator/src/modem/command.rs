//! Takes a command line apart: its name and its parameters, unquoted and unescaped.

pub(super) type Parameter = Vec<u8>;

/// `AT+NAME=a,"b"` is `("AT+NAME", [a, b])`. A name that ends with `_CUR` is told by the third.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) parameters: Vec<Parameter>,
    pub(super) current_only: bool,
}

impl Line {
    pub(super) fn parse(line: &[u8]) -> Self {
        let equals = line.iter().position(|byte| *byte == b'=');
        let (name, rest) = match equals {
            Some(at) => (line.get(..at), line.get(at + 1..)),
            None => (Some(line), None),
        };
        let name = String::from_utf8_lossy(name.unwrap_or_default()).into_owned();
        let parameters = rest.map(parameters).unwrap_or_default();
        match name.strip_suffix("_CUR") {
            Some(short) => Self { name: short.to_owned(), parameters, current_only: true },
            None => Self { name, parameters, current_only: false },
        }
    }

    pub(super) fn text(&self, at: usize) -> Option<&str> {
        std::str::from_utf8(self.parameters.get(at)?).ok()
    }

    pub(super) fn number<N: std::str::FromStr>(&self, at: usize) -> Option<N> {
        self.text(at)?.parse().ok()
    }
}

fn parameters(rest: &[u8]) -> Vec<Parameter> {
    let (mut all, mut quoted, mut escaped) = (vec![Vec::new()], false, false);
    for &byte in rest {
        let last = all.last_mut();
        match byte {
            _ if escaped => {
                escaped = false;
                last.into_iter().for_each(|last| last.push(byte));
            }
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => all.push(Vec::new()),
            _ => last.into_iter().for_each(|last| last.push(byte)),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_unquoted_and_unescaped() {
        let line = Line::parse(b"AT+CWJAP_CUR=\"a\\,b\\\"c\\\\\xff\",\"x,=y\",3");
        assert_eq!((line.name.as_str(), line.current_only), ("AT+CWJAP", true));
        assert_eq!(line.parameters, [b"a,b\"c\\\xff".to_vec(), b"x,=y".to_vec(), b"3".to_vec()]);
        assert_eq!(Line::parse(b"AT+GMR").parameters.len(), 0);
    }
}
