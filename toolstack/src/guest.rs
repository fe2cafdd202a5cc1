//! The guest that is built in: a small HTTP server that says how it was started.
//!
//! Owns a whole program, for the first try and for tests. It is the daemon's own executable, run
//! again with a hidden argument; nothing but the standard library runs before it listens. What
//! it is told is in its environment.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The first argument that makes the executable a guest.
pub(crate) const ARGUMENT: &str = "__hello";
/// The variable with the domain's address.
pub(crate) const ADDRESS: &str = "JITSU_ADDRESS";
/// The variable with the domain's name.
pub(crate) const NAME: &str = "JITSU_NAME";
/// The variable with the port to listen on.
pub(crate) const PORT: &str = "JITSU_HELLO_PORT";
/// The variable with the milliseconds it pretends to boot.
pub(crate) const BOOT_MS: &str = "JITSU_HELLO_BOOT_MS";

/// Connections served at once; more are closed.
const CONNECTIONS_MAX: usize = 1024;
/// How long a client may stay silent.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Bytes of one request's head.
const HEAD_BYTES_MAX: u64 = 16 * 1024;
const STACK_BYTES: usize = 64 * 1024;

/// Runs the guest and exits, if this process was started as one. To be called first thing in
/// `main` of every program that may be the `hello` of the process hypervisor.
pub fn run_if_asked() {
    let begun = Instant::now();
    if std::env::args_os().nth(1).is_some_and(|argument| argument == ARGUMENT) {
        let code = match run(begun) {
            Ok(()) => 0,
            Err(error) => {
                let _ = writeln!(io::stderr(), "hello: {error}");
                1
            }
        };
        std::process::exit(code);
    }
}

struct Hello {
    name: String,
    begun: Instant,
    boot: Duration,
    requests: AtomicU64,
    connections: AtomicUsize,
}

fn run(begun: Instant) -> io::Result<()> {
    let address: IpAddr = variable(ADDRESS)?;
    let port: u16 = variable(PORT)?;
    let boot_ms: u64 = variable(BOOT_MS)?;
    std::thread::sleep(Duration::from_millis(boot_ms));
    let listener = TcpListener::bind((address, port))?;
    let hello = Arc::new(Hello {
        name: variable(NAME)?,
        begun,
        boot: begun.elapsed(),
        requests: AtomicU64::new(0),
        connections: AtomicUsize::new(0),
    });
    writeln!(io::stdout(), "{} listens on {address}:{port} after {:?}", hello.name, hello.boot)?;
    loop {
        // An error is the client's: it was gone before we took it, or there are too many.
        let Ok((stream, _)) = listener.accept() else { continue };
        let hello = hello.clone();
        if hello.connections.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
            hello.connections.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let for_thread = hello.clone();
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
            let _ = serve(&for_thread, stream);
            for_thread.connections.fetch_sub(1, Ordering::Relaxed);
        });
        if thread.is_err() {
            hello.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn variable<T: std::str::FromStr>(name: &str) -> io::Result<T> {
    let text = std::env::var(name).ok();
    text.and_then(|text| text.parse().ok()).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("{name} is not set, or is wrong"))
    })
}

fn serve(hello: &Hello, stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = read_head(&mut reader)? {
        let count = hello.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let body = format!(
            "Hello from {}.\nboot_ms: {}\nuptime_ms: {}\nrequests: {count}\n",
            hello.name,
            hello.boot.as_millis(),
            hello.begun.elapsed().as_millis(),
        );
        let connection = if request.keep { "keep-alive" } else { "close" };
        let mut answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {}\r\nConnection: {connection}\r\n\r\n",
            body.len(),
        );
        if !request.is_head {
            answer.push_str(&body);
        }
        writer.write_all(answer.as_bytes())?;
        if !request.keep {
            break;
        }
    }
    Ok(())
}

struct Head {
    keep: bool,
    is_head: bool,
}

/// Reads the head of a request. None: the client is done.
fn read_head(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Head>> {
    let mut head = Head { keep: true, is_head: false };
    let mut bytes = 0;
    let mut line = String::new();
    for number in 0.. {
        line.clear();
        let count = io::Read::take(&mut *reader, HEAD_BYTES_MAX).read_line(&mut line)? as u64;
        bytes += count;
        if count == 0 || bytes > HEAD_BYTES_MAX {
            return Ok(None);
        }
        let text = line.trim_end().to_ascii_lowercase();
        if number == 0 {
            head.is_head = text.starts_with("head ");
            head.keep = text.ends_with("http/1.1");
        } else if text.is_empty() {
            break;
        } else if let Some(value) = text.strip_prefix("connection:") {
            head.keep = value.trim() != "close" && (head.keep || value.trim() == "keep-alive");
        }
    }
    Ok(Some(head))
}
