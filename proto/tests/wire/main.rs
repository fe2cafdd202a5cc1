//! The wire: golden bytes of every message, and bytes that nobody should send.

mod hostile;
mod samples;

use jitsu_proto::{Decoder, encode};
use samples::{Sample, samples};

const GOLDEN: &str = include_str!("golden.txt");

fn bytes(sample: &Sample) -> Vec<u8> {
    let mut bytes = Vec::new();
    match sample {
        Sample::Client(frame) => encode(frame, &mut bytes),
        Sample::Server(frame) => encode(frame, &mut bytes),
    }
    .expect("every sample can be encoded");
    bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.bytes().collect();
    let byte = |pair: &[u8]| {
        let text = std::str::from_utf8(pair).expect("hexadecimal digits");
        u8::from_str_radix(text, 16).expect("hexadecimal digits")
    };
    digits.chunks(2).map(byte).collect()
}

/// Old peers must understand new ones: the bytes of a message never change. A message that is
/// new gets a line: this prints it.
#[test]
fn every_message_has_its_golden_bytes() {
    let golden: Vec<(&str, &str)> =
        GOLDEN.lines().filter_map(|line| line.split_once(' ')).collect();
    let samples = samples();
    let mut missing = String::new();
    for (name, sample) in &samples {
        let found = golden.iter().find(|(other, _)| other == name);
        let Some((_, expected)) = found else {
            missing.push_str(&format!("{name} {}\n", hex(&bytes(sample))));
            continue;
        };
        assert_eq!(hex(&bytes(sample)), *expected, "{name}");
        let mut decoder = Decoder::new();
        decoder.push(&unhex(expected));
        match sample {
            Sample::Client(frame) => assert_eq!(decoder.take().expect(name).as_ref(), Some(frame)),
            Sample::Server(frame) => assert_eq!(decoder.take().expect(name).as_ref(), Some(frame)),
        }
        assert!(decoder.is_empty(), "{name}");
    }
    assert!(missing.is_empty(), "golden.txt lacks the lines\n{missing}");
    assert_eq!(golden.len(), samples.len(), "golden.txt has a line that no sample has");
}

#[test]
fn a_stream_may_be_cut_anywhere() {
    let all = samples();
    let stream: Vec<u8> = all
        .iter()
        .flat_map(|(_, sample)| match sample {
            Sample::Client(_) => bytes(sample),
            Sample::Server(_) => Vec::new(),
        })
        .collect();
    let frames = all.iter().filter(|(_, sample)| matches!(sample, Sample::Client(_))).count();
    for step in [1, 2, 3, 7, 64, 1000] {
        let mut decoder = Decoder::new();
        let mut count = 0;
        for part in stream.chunks(step) {
            decoder.push(part);
            while decoder.take::<jitsu_proto::ClientFrame>().expect("they are right").is_some() {
                count += 1;
            }
        }
        assert_eq!(count, frames, "in steps of {step}");
        assert!(decoder.is_empty());
    }
}
