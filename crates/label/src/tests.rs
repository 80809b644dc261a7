//! The codes are read by another crate than the one that draws them.

use vitalwire_registry::{DeviceKey, LinkId, LinkKeys, Psk, SetupSecrets};

use super::*;

fn link() -> Link {
    let id: LinkId = "00112233445566778899aabbccddeeff".parse().unwrap();
    let psk = Psk::derive(&std::array::from_fn(|place| u8::try_from(place).unwrap()), &id);
    Link { id, psk }
}

/// The label of the test vector in PROTOCOL.md §4.7.
const TEXT: &str = "vitalwire:1?link=00112233445566778899aabbccddeeff\
                    &psk=bb686987c14f7576782e4edace0da2534b3b72ce9e03a9ab7ef242f1228ca480";

/// What a reader sees in an image of `width` columns; true is dark.
fn read(width: usize, height: usize, dark: impl Fn(usize, usize) -> bool) -> String {
    let mut image = rqrr::PreparedImage::prepare_from_bitmap(width, height, dark);
    let grids = image.detect_grids();
    assert_eq!(grids.len(), 1);
    grids[0].decode().unwrap().1
}

/// The modules that lines of half blocks show.
fn modules(text: &str, ink_is_dark: bool) -> Vec<Vec<bool>> {
    let mut rows = Vec::new();
    for line in text.lines() {
        let halves = line.chars().map(|block| match block {
            '█' => (true, true),
            '▀' => (true, false),
            '▄' => (false, true),
            ' ' => (false, false),
            other => panic!("{other:?}"),
        });
        let (upper, lower): (Vec<_>, Vec<_>) = halves.unzip();
        rows.extend([upper, lower].map(|row| row.into_iter().map(|ink| ink == ink_is_dark).collect()));
    }
    rows
}

/// Enlarges modules, as a camera sees more than one pixel of each.
fn read_modules(rows: &[Vec<bool>]) -> String {
    const TIMES: usize = 4;
    read(rows[0].len() * TIMES, rows.len() * TIMES, |x, y| rows[y / TIMES][x / TIMES])
}

#[test]
fn text_is_that_of_the_specification() {
    assert_eq!(text(&link()).as_str(), TEXT);
}

#[test]
fn code_in_the_terminal_can_be_read_with_and_without_colours() {
    let label = Label::screen(&[TEXT]).unwrap();
    let plain = label.terminal(false);
    assert_eq!(read_modules(&modules(&plain, false)), TEXT);
    let coloured = label.terminal(true);
    let (start, end) = ("\x1b[30;107m", "\x1b[0m");
    assert!(coloured.lines().all(|line| line.starts_with(start) && line.ends_with(end)));
    let blocks = coloured.replace(start, "").replace(end, "");
    assert_eq!(read_modules(&modules(&blocks, true)), TEXT);
    let (columns, lines) =
        (plain.lines().map(|line| line.chars().count()).max().unwrap(), plain.lines().count());
    assert_eq!(label.size(), (columns, lines));
    assert!(columns <= 80 && lines <= 23, "it fits 80×24 with the prompt below it: {columns}×{lines}");
}

#[test]
fn code_in_the_png_can_be_read() {
    let png = Label::new(&link(), &"bed_07".parse().unwrap()).unwrap().png().unwrap();
    let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    let (width, height) = (usize::try_from(info.width).unwrap(), usize::try_from(info.height).unwrap());
    assert_eq!(read(width, height, |x, y| pixels[y * width + x] == 0), TEXT);
}

#[test]
fn code_in_the_svg_can_be_read_and_the_name_stands_below() {
    let label = Label::new(&link(), &"bed_07".parse().unwrap()).unwrap();
    let svg = label.svg("bed_07");
    assert!(svg.contains(">bed_07</text>") && !svg.contains("textLength"), "{svg}");
    let mut rows = vec![vec![false; label.width]; label.height];
    let path = svg.split("<path d=\"").nth(1).unwrap().split('"').next().unwrap();
    for square in path.split('M').skip(1) {
        let (x, rest) = square.split_once(' ').unwrap();
        let y = rest.strip_suffix("h1v1h-1z").unwrap();
        rows[y.parse::<usize>().unwrap()][x.parse::<usize>().unwrap()] = true;
    }
    assert_eq!(read_modules(&rows), TEXT);
    let long = Label::new(&link(), &"x".repeat(64).parse().unwrap()).unwrap().svg("long");
    assert!(long.contains("textLength"), "a long name is drawn as wide as the code");
}

fn secrets() -> SetupSecrets {
    let key = DeviceKey::Tls(LinkKeys { current: link(), previous: None });
    SetupSecrets::derive(&"bed_07".parse().unwrap(), &key)
}

/// What readers see in a PNG, from left to right.
fn read_png(png: Vec<u8>) -> Vec<String> {
    let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    let (width, height) = (usize::try_from(info.width).unwrap(), usize::try_from(info.height).unwrap());
    let dark = |x: usize, y: usize| pixels[y * width + x] == 0;
    let mut image = rqrr::PreparedImage::prepare_from_bitmap(width, height, dark);
    let mut grids = image.detect_grids();
    grids.sort_by_key(|grid| grid.bounds.iter().map(|corner| corner.x).min());
    grids.iter().map(|grid| grid.decode().unwrap().1).collect()
}

/// The setup secrets of the test vector in PROTOCOL.md §4.8.
const PAGE: &str = "http://192.168.4.1/#08b78fe3d6ce52b76386c224fc9e0332";
const WIFI: &str = "WIFI:T:WPA;S:Med_IoT;P:hjb4xr11pvvb;;";

#[test]
fn setup_label_opens_the_page_and_joins_the_network_first_if_that_has_a_password() {
    let id = "bed_07".parse().unwrap();
    let open = setup_label(&id, &secrets(), false).unwrap();
    assert_eq!(read_png(open.png().unwrap()), [PAGE]);
    assert!(open.svg("bed_07").contains(">set up bed_07</text>"));
    let closed = setup_label(&id, &secrets(), true).unwrap();
    assert_eq!(read_png(closed.png().unwrap()), [WIFI, PAGE]);
    let svg = closed.svg("bed_07");
    assert!(svg.contains(">1. join Med_IoT</text>") && svg.contains(">2. set up bed_07</text>"), "{svg}");
    assert!(svg.contains("width=\"100mm\"") && !svg.contains("hjb4"), "{svg}");
}

/// What readers see of codes side by side.
fn read_all(rows: &[Vec<bool>]) -> Vec<String> {
    const TIMES: usize = 4;
    let (width, height) = (rows[0].len() * TIMES, rows.len() * TIMES);
    let dark = |x: usize, y: usize| rows[y / TIMES][x / TIMES];
    let mut image = rqrr::PreparedImage::prepare_from_bitmap(width, height, dark);
    let mut grids = image.detect_grids();
    grids.sort_by_key(|grid| grid.bounds.iter().map(|corner| corner.x).min());
    grids.iter().map(|grid| grid.decode().unwrap().1).collect()
}

#[test]
fn setup_codes_in_the_terminal_can_be_read_and_fit_side_by_side() {
    let label = Label::screen(&[WIFI, PAGE]).unwrap();
    assert_eq!(read_all(&modules(&label.terminal(false), false)), [WIFI, PAGE]);
    let (columns, lines) = label.size();
    assert!(columns <= 80 && lines <= 18, "{columns}×{lines}");
    let alone = Label::screen(&[PAGE]).unwrap();
    assert_eq!(read_modules(&modules(&alone.terminal(false), false)), PAGE);
}

#[test]
fn key_line_has_the_papers_form_and_can_be_imported() {
    let id: DeviceId = "bed_07".parse().unwrap();
    let line = key_line(&id, &CbcSecret::new(*b"1234567890123456", *b"AAAAAAAAAAAAAAAA"));
    assert_eq!(line, r#"{ "id":"bed_07", "key":"1234567890123456", "iv":"AAAAAAAAAAAAAAAA"}"#);
    let quoted = key_line(&id, &CbcSecret::new(*br#"12345"78901234\6"#, *b"AAAAAAAAAAAAAAAA"));
    for line in [line, quoted] {
        assert_eq!(vitalwire_registry::parse_paper_keys(line.as_bytes()).unwrap().len(), 1, "{line}");
    }
}
