//! Bytes that nobody should send are refused: no panic, no memory out of proportion.

use jitsu_proto::{ClientFrame, Decoder, FRAME_BYTES_MAX, FrameError, ServerFrame};

use crate::bytes;
use crate::samples::samples;

fn framed(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("a short body");
    [&length.to_be_bytes(), body].concat()
}

fn take(bytes: &[u8]) -> Result<Option<ClientFrame>, FrameError> {
    let mut decoder = Decoder::new();
    decoder.push(bytes);
    decoder.take()
}

fn refused(bytes: &[u8]) -> String {
    take(bytes).expect_err("it must be refused").to_string()
}

#[test]
fn a_huge_length_is_refused_before_anything_is_read() {
    assert_eq!(
        refused(&[0xff, 0xff, 0xff, 0xff]),
        "a frame of 4294967295 bytes; at most 4194304 are allowed"
    );
    let longest = u32::try_from(FRAME_BYTES_MAX).expect("it fits");
    assert!(take(&longest.to_be_bytes()).expect("it may come").is_none());
    assert!(take(&(longest + 1).to_be_bytes()).is_err());
}

#[test]
fn lengths_inside_a_frame_are_not_believed() {
    // An array, a map, a string and a binary that claim four thousand million elements.
    for marker in [0xdd, 0xdf, 0xdb, 0xc6] {
        refused(&framed(&[marker, 0xff, 0xff, 0xff, 0xff]));
        // The same where a list of bytes is expected: Request::Type.
        let mut body = b"\x81\xa7Request\x83\xa2id\x01\xa5trace\x00\xa4body\x81\xa4Type\x82\xa4name\xa1a\xa5bytes".to_vec();
        body.extend([marker, 0xff, 0xff, 0xff, 0xff]);
        refused(&framed(&body));
    }
}

#[test]
fn deep_nesting_is_refused() {
    for opening in [0x91, 0x81] {
        refused(&framed(&vec![opening; 1 << 20]));
    }
    // Inside a field that nobody knows, too: it is skipped, but not without bound.
    let mut body = b"\x81\xa5Hello\x83\xa7version\x01\xa7program\xa1x\xa5extra".to_vec();
    body.extend(vec![0x91; 100_000]);
    body.push(0xc0);
    let text = refused(&framed(&body));
    assert!(text.contains("depth"), "{text}");
}

#[test]
fn wrong_types_and_leftovers_are_refused() {
    refused(&framed(&[0xc0]));
    refused(&framed(b"\xa5hello"));
    refused(&framed(b"\x81\xa7Unknown\xc0"));
    refused(&framed(b"\x81\xa5Hello\x82\xa7version\xa1x\xa7program\xa1x"));
    let right = b"\x81\xa5Hello\x82\xa7version\x01\xa7program\xa1x";
    assert!(take(&framed(right)).expect("it is right").is_some());
    let more = [right.as_slice(), &[0xc0, 0xc0]].concat();
    assert_eq!(refused(&framed(&more)), "2 bytes behind the message, inside its frame");
    refused(&framed(b""));
}

#[test]
fn a_field_that_is_not_known_is_skipped() {
    let newer = b"\x81\xa5Hello\x83\xa7version\x01\xa7program\xa1x\xa5extra\x93\x01\x02\xa1y";
    assert!(take(&framed(newer)).expect("it may come").is_some());
}

/// `SplitMix64` (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound as u64).expect("it is below a usize")
    }
}

fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len().max(1));
        let byte = u8::try_from(random.below(256)).expect("a byte");
        match random.below(5) {
            0 if !bytes.is_empty() => bytes[at] = byte,
            1 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            2 if !bytes.is_empty() => drop(bytes.remove(at)),
            3 => bytes.truncate(at),
            _ => bytes.insert(at, byte),
        }
    }
}

/// Whatever comes is a message, part of one, or refused; and a message that is understood can be
/// sent again.
#[test]
fn random_mutations_never_break_the_decoder() {
    let mut random = Random(1);
    let samples: Vec<_> = samples().iter().map(|(_, sample)| bytes(sample)).collect();
    let (mut understood, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let mut body = samples[random.below(samples.len())][4..].to_vec();
        mutate(&mut body, &mut random);
        let framed = framed(&body);
        let mut decoder = Decoder::new();
        decoder.push(&framed);
        match decoder.take::<ClientFrame>() {
            Ok(frame) => {
                understood += 1;
                let mut again = Vec::new();
                jitsu_proto::encode(&frame.expect("the frame is whole"), &mut again)
                    .expect("a message");
            }
            Err(_) => refused += 1,
        }
        let mut decoder = Decoder::new();
        decoder.push(&framed);
        // Whether it is one or not is told above; here only that nothing breaks.
        let _ = decoder.take::<ServerFrame>();
    }
    assert!(understood > 100 && refused > 100, "{understood} understood, {refused} refused");
}
