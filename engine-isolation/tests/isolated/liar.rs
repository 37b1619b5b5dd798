//! Children that lie: the parent believes nothing.

use std::fs::File;
use std::io::{self, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use backend_api::{BlockingInfer as _, Error, ErrorKind};
use classify_tests::{doubled, doubling_input, ensure};
use engine_isolation::Isolated;
use libtest_mimic::{Failed, Trial};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::{Value, json};

use crate::engine::{Config, isolation};

/// The variable with the name of a lie.
const LIE: &str = "ENGINE_ISOLATION_TEST_LIE";

/// A lie in a reply, with the words of the error.
const REPLIES: [(&str, &str); 10] = [
    ("other-json", "sent unknown variant"),
    ("no-json", "sent expected value"),
    ("long", "sent a message of 4294967295 bytes, where"),
    ("outputs", "sent 2 outputs instead of 1"),
    ("no-output", "sent 0 outputs instead of 1"),
    ("size", "sent outputs of more than"),
    ("overflow", "sent outputs of more than"),
    ("slow", "did not answer within"),
    // Replies in advance, and requests that are never read.
    ("deaf", "did not answer within"),
    ("closed", "closed its connection"),
];

/// A model as a user may write it.
const READABLE: &str = "../models/../model.onnx";

/// A lie in the description.
const DESCRIPTIONS: [(&str, &str); 8] = [
    ("no-slot", "sent a description with 0 infer requests"),
    ("slots", "sent a description with 1000000 infer requests"),
    (
        "dims",
        "sent a description of a tensor whose size overflows",
    ),
    ("order", "sent a message out of order"),
    (
        "model",
        "sent a description of a model that it may not read, /etc/passwd",
    ),
    (
        "above",
        "sent a description of a model that it may not read, /readable/../etc/passwd",
    ),
    ("notes", "sent a description of"),
    ("words", "sent a description of"),
];

pub fn trials() -> Vec<Trial> {
    let replies = REPLIES.map(|(lie, words)| {
        Trial::test(format!("a_lying_reply_is_an_error::{lie}"), move || {
            reply(lie, words)
        })
    });
    let descriptions = DESCRIPTIONS.map(|(lie, words)| {
        let name = format!("a_lying_description_is_an_error::{lie}");
        Trial::test(name, move || described(lie, words))
    });
    let mut trials: Vec<Trial> = replies.into_iter().chain(descriptions).collect();
    trials.push(Trial::test("text_instead_of_messages_is_an_error", chat));
    trials.push(Trial::test("the_double_can_tell_the_truth", truth));
    trials.push(Trial::test("the_memory_cannot_grow", growth));
    trials
}

fn open(lie: &'static str) -> Result<Isolated, Error> {
    let mut isolation = isolation();
    // The double answers one request.
    isolation.spare_requests = 0;
    isolation.readable.push("/readable".into());
    isolation.readable.push(READABLE.into());
    if matches!(lie, "slow" | "deaf") {
        isolation.timeout = Duration::from_millis(300);
    }
    isolation.command = Arc::new(move || {
        let mut command = Command::new(std::env::current_exe()?);
        command.env(LIE, lie);
        Ok(command)
    });
    Isolated::open(&Config::Good, &isolation)
}

fn reply(lie: &'static str, words: &str) -> Result<(), Failed> {
    let backend = open(lie)?;
    if lie == "deaf" {
        // Until the socket is full.
        let mut answers = (0..100_000).map(|n| backend.infer_blocking(doubling_input(n)));
        let error = answers.find_map(Result::err).ok_or("it hears all")?;
        ensure(error.kind() == ErrorKind::EngineCrashed, &error)?;
        return ensure(error.to_string().contains(words), error);
    }
    // The second request finds another liar.
    for n in 0..2 {
        let error = backend.infer_blocking(doubling_input(n)).unwrap_err();
        ensure(error.kind() == ErrorKind::EngineCrashed, &error)?;
        ensure(error.to_string().contains(words), error)?;
    }
    Ok(())
}

fn described(lie: &'static str, words: &str) -> Result<(), Failed> {
    let Err(error) = open(lie) else {
        return Err("the lie is believed".into());
    };
    ensure(error.kind() == ErrorKind::EngineCrashed, &error)?;
    ensure(error.to_string().contains(words), error)
}

fn chat() -> Result<(), Failed> {
    let Err(error) = Isolated::open(&Config::Chats, &isolation()) else {
        return Err("the text is believed".into());
    };
    ensure(error.kind() == ErrorKind::EngineCrashed, &error)?;
    ensure(error.to_string().contains("sent a message of"), error)
}

/// The lies are found because they are lies, not because the double fails.
fn truth() -> Result<(), Failed> {
    let backend = open("truth")?;
    let output = backend.infer_blocking(doubling_input(5))?;
    ensure(output.tensor == doubled(5), output)
}

fn growth() -> Result<(), Failed> {
    let backend = open("growth")?;
    let output = backend.infer_blocking(doubling_input(5))?;
    ensure(output.tensor.to_f32()[0] == 1.0, "the memory grew")
}

/// Plays the child, if the variable says so.
pub fn run_if_asked() -> bool {
    let Ok(lie) = std::env::var(LIE) else {
        return false;
    };
    let _ = play(&lie);
    true
}

fn send(mut stream: &UnixStream, message: &Value) -> io::Result<()> {
    send_text(stream, &message.to_string())?;
    stream.flush()
}

fn send_text(mut stream: &UnixStream, text: &str) -> io::Result<()> {
    stream.write_all(&(text.len() as u32).to_le_bytes())?;
    stream.write_all(text.as_bytes())
}

fn receive(mut stream: &UnixStream) -> io::Result<Value> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut text = vec![0; u32::from_le_bytes(length) as usize];
    stream.read_exact(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

fn play(lie: &str) -> io::Result<()> {
    let control = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    receive(&control)?;
    if lie != "order" {
        send(
            &control,
            &json!({"Confined": {"landlock": true, "seccomp": true}}),
        )?;
    }
    let size = if lie == "dims" { u64::MAX / 4 } else { 4 };
    let spec = |size: u64| json!({"name": "x", "element_type": "f32", "dims": [1, size]});
    let slots = match lie {
        "no-slot" => 0,
        "slots" => 1_000_000,
        _ => 1,
    };
    let model = match lie {
        "model" => "/etc/passwd",
        "above" => "/readable/../etc/passwd",
        _ => READABLE,
    };
    let notes = vec![""; if lie == "notes" { 101 } else { 0 }];
    let version = "1".repeat(if lie == "words" { 1 << 16 } else { 0 });
    let info = json!({
        "backend": "liar", "engine": "", "engine_version": version, "library": null, "model": model,
        "requested_device": "CPU", "devices": [], "aliases": {}, "notes": notes, "requested_precision": "f32",
        "precision": "f32", "input": spec(4), "output": spec(size), "slots": slots,
    });
    send(&control, &json!({"Opened": info}))?;
    let (mut channel, memory) = receive_channel(&control)?;
    let channel = &mut channel;
    loop {
        receive(channel)?;
        let mut values = [0; 16];
        memory.read_exact_at(&mut values, 0)?;
        let values: Vec<u8> = values
            .chunks(4)
            .flat_map(|bytes| (f32::from_le_bytes(bytes.try_into().unwrap()) * 2.0).to_le_bytes())
            .collect();
        memory.write_all_at(&values, 0)?;
        let shape = |sizes: &[u64]| json!({"element_type": "f32", "sizes": sizes});
        match lie {
            "other-json" => send(channel, &json!({"Sure": []}))?,
            "no-json" => send_text(channel, "nonsense")?,
            "long" => channel.write_all(&[255; 4])?,
            "outputs" => send(channel, &json!({"Done": [shape(&[1, 4]), shape(&[1, 4])]}))?,
            "no-output" => send(channel, &json!({"Done": []}))?,
            "size" => send(channel, &json!({"Done": [shape(&[1 << 40])]}))?,
            "overflow" => send(channel, &json!({"Done": [shape(&[1 << 40, 1 << 40])]}))?,
            "slow" => loop {
                // Never the whole message, but always something.
                channel.write_all(&[3, 0, 0])?;
                std::thread::sleep(Duration::from_hours(1));
            },
            "deaf" => loop {
                send(channel, &json!({"Done": [shape(&[1, 4])]}))?;
            },
            "closed" => {
                channel.shutdown(std::net::Shutdown::Both)?;
                std::thread::sleep(Duration::from_hours(1));
            }
            "growth" => {
                let len = memory.metadata()?.len();
                let grew = memory.set_len(len + 1).is_ok() || memory.write_at(&[1], len).is_ok();
                let answer = if grew { 0.0_f32 } else { 1.0 };
                memory.write_all_at(&answer.to_le_bytes().repeat(4), 0)?;
                send(channel, &json!({"Done": [shape(&[1, 4])]}))?;
            }
            _ => send(channel, &json!({"Done": [shape(&[1, 4])]}))?,
        }
    }
}

fn receive_channel(control: &UnixStream) -> io::Result<(UnixStream, File)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut data = [0];
    let mut data = [IoSliceMut::new(&mut data)];
    recvmsg(control, &mut data, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let mut descriptors: Vec<OwnedFd> = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(sent) = message {
            descriptors.extend(sent);
        }
    }
    let memory = descriptors.pop().ok_or(io::ErrorKind::UnexpectedEof)?;
    let channel = descriptors.pop().ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok((channel.into(), memory.into()))
}
