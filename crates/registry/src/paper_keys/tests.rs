//! What reading the paper's key file must hold to.

use super::*;

const PAPER: &str = concat!(
    r#"{ "id":"iot_med_dev_01", "key":"1234567890123456", "iv":"AAAAAAAAAAAAAAAA"}"#,
    "\n\n",
    r#"{"iv":"BBBBBBBBBBBBBBBB","id":"iot_med_dev_02","key":"6543210987654321"}"#,
    "\r\n  \n",
);

fn line_fault(text: &str) -> (usize, LineFault) {
    match parse_paper_keys(text.as_bytes()) {
        Err(ImportError::Line { line, fault }) => (line, fault),
        other => panic!("{text:?}: {other:?}"),
    }
}

#[test]
fn reads_the_papers_file_with_blank_lines_and_any_line_end() {
    let keys = parse_paper_keys(PAPER.as_bytes()).unwrap();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0].0.as_str(), "iot_med_dev_01");
    assert!(keys[0].1 == CbcSecret::new(*b"1234567890123456", *b"AAAAAAAAAAAAAAAA"));
    assert!(keys[1].1 == CbcSecret::new(*b"6543210987654321", *b"BBBBBBBBBBBBBBBB"));
    let with_mark = format!("\u{feff}{PAPER}");
    assert_eq!(parse_paper_keys(with_mark.as_bytes()).unwrap().len(), 2);
    assert!(parse_paper_keys(&b""[..]).unwrap().is_empty());
}

#[test]
fn cut_at_every_byte_yields_whole_lines_or_an_error_in_the_cut_line_that_shows_no_key() {
    let ends = [PAPER.find('\n').unwrap(), PAPER.rfind('}').unwrap() + 1];
    for cut in 0..PAPER.len() {
        let whole = ends.iter().filter(|end| cut >= **end).count();
        // A cut just before a line's first byte, or within blank lines, leaves whole lines only.
        let clean = cut == 0 || whole == 2 || (ends[0]..=ends[0] + 2).contains(&cut);
        match parse_paper_keys(&PAPER.as_bytes()[..cut]) {
            Ok(keys) => assert!(clean && keys.len() == whole, "cut {cut}"),
            Err(error) => {
                assert!(!clean, "cut {cut}: {error}");
                assert_eq!(error.line(), Some(if whole == 0 { 1 } else { 3 }), "cut {cut}");
                assert_shows_no_key(&error);
            }
        }
    }
}

fn assert_shows_no_key(error: &ImportError) {
    let shown = format!("{error} {error:?}");
    for part in ["123456", "654321", "AAAA", "BBBB"] {
        assert!(!shown.contains(part), "{shown}");
    }
}

#[test]
fn names_line_and_cause_and_shows_no_key() {
    type Expected = fn(&LineFault) -> bool;
    let cases: [(&str, Expected); 14] = [
        (r#"{"id":"a","key":"123456789012345","iv":"AAAAAAAAAAAAAAAA"}"#, |f| {
            matches!(f, LineFault::KeyLength { field: "key", len: 15, .. })
        }),
        (r#"{"id":"a","key":"1234567890123456","iv":"AAAAAAAAAAAAAAAAA"}"#, |f| {
            matches!(f, LineFault::KeyLength { field: "iv", len: 17, .. })
        }),
        (r#"{"id":"a","key":"12345678901234é","iv":"AAAAAAAAAAAAAAAA"}"#, |f| {
            matches!(f, LineFault::KeyNotAscii { field: "key", .. })
        }),
        (r#"{"id":"a","key":"1234567890123456"}"#, |f| matches!(f, LineFault::Missing("iv"))),
        (r#"{"key":"1234567890123456","iv":"AAAAAAAAAAAAAAAA"}"#, |f| matches!(f, LineFault::Missing("id"))),
        (r#"{"id":"a","key":null,"iv":"AAAAAAAAAAAAAAAA"}"#, |f| matches!(f, LineFault::Missing("key"))),
        (r#"{"id":"a/b","key":"1234567890123456","iv":"AAAAAAAAAAAAAAAA"}"#, |f| {
            matches!(f, LineFault::Id(NameError::Character { character: '/', position: 2 }))
        }),
        (r#"{"id":"a","key":1234567890123456,"iv":"AAAAAAAAAAAAAAAA"}"#, |f| {
            matches!(f, LineFault::Shape { .. })
        }),
        (r#"{"id":5,"key":"1234567890123456","iv":"AAAAAAAAAAAAAAAA"}"#, |f| {
            matches!(f, LineFault::Shape { .. })
        }),
        (r#"{"id":"a","key":"1234567890123456","key":"1234567890123456","iv":"AAAAAAAAAAAAAAAA"}"#, |f| {
            matches!(f, LineFault::Shape { .. })
        }),
        (r#"{"id":"a","key":"1234567890123456","iv":"AAAAAAAAAAAAAAAA","1234567890123456":1}"#, |f| {
            matches!(f, LineFault::Shape { .. })
        }),
        (r#"["a","1234567890123456","AAAAAAAAAAAAAAAA"]"#, |f| matches!(f, LineFault::NotJson { .. })),
        (r#"{"id":"a","key":"1234567890123456","iv":"AAAAAAAAAAAAAAAA"} x"#, |f| {
            matches!(f, LineFault::NotJson { .. })
        }),
        ("id=a key=1234567890123456 iv=AAAAAAAAAAAAAAAA", |f| matches!(f, LineFault::NotJson { .. })),
    ];
    for (text, expected) in cases {
        let (line, fault) = line_fault(&format!("\n{text}\n"));
        assert!(line == 2 && expected(&fault), "{text}: line {line}, {fault:?}");
        assert_shows_no_key(&ImportError::Line { line, fault });
    }
}

#[test]
fn refuses_an_id_given_twice_and_names_both_lines() {
    let (line, fault) = line_fault(&format!("{PAPER}{PAPER}"));
    assert_eq!(line, 5);
    assert!(matches!(fault, LineFault::Repeated { first: 1, .. }), "{fault:?}");
}

#[test]
fn refuses_a_long_line_without_reading_it_all() {
    let endless = io::repeat(b' ');
    assert!(matches!(
        parse_paper_keys(endless),
        Err(ImportError::Line { line: 1, fault: LineFault::TooLong })
    ));
    let mut longest = r#"{"id":"a","key":"1234567890123456","iv":"AAAAAAAAAAAAAAAA"}"#.to_owned();
    longest.push_str(&" ".repeat(LINE_LEN_MAX - longest.len()));
    assert_eq!(parse_paper_keys(format!("{longest}\r\n").as_bytes()).unwrap().len(), 1);
    assert!(matches!(line_fault(&format!("{longest} ")), (1, LineFault::TooLong)));
}

#[test]
fn reads_escaped_characters() {
    let text = r#"{"id":"\u0061","key":"\u0031234567890123456","iv":"AAAAAAAAAAAAAAAA"}"#;
    let keys = parse_paper_keys(text.as_bytes()).unwrap();
    assert_eq!((keys[0].0.as_str(), keys[0].1.key()), ("a", b"1234567890123456"));
}

#[test]
fn tells_after_which_line_reading_failed() {
    struct Failing(bool);
    impl Read for Failing {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if std::mem::replace(&mut self.0, true) {
                return Err(io::Error::other("the disk is gone"));
            }
            buffer[0] = b'\n';
            Ok(1)
        }
    }
    let error = parse_paper_keys(Failing(false)).unwrap_err();
    assert!(matches!(error, ImportError::Read { line: 1, .. }));
    assert!(error.to_string().contains("the disk is gone"));
}
