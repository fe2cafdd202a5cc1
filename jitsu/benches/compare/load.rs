//! Clients, and the guest that they talk to.
//!
//! Owns both ends of every measurement. The first byte of a connection says what it is for: `k`
//! is answered with one byte, `e` begins an echo, `s` a flood whose length is told when it ends,
//! which a `!` says: not every proxy passes the end of one side on alone.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use jitsu_daemon::sockets::Passed;

const CHUNK: usize = 64 * 1024;

/// Serves until it is killed: on a socket that was passed in, or else on one of its own.
pub(crate) fn guest(address: &str) -> io::Result<()> {
    let mut passed = Passed::take().map_err(io::Error::other)?;
    let address: SocketAddr = address.parse().map_err(io::Error::other)?;
    let listener = match passed.tcp(address) {
        Some(listener) => {
            listener.set_nonblocking(false)?;
            listener
        }
        None => TcpListener::bind(address)?,
    };
    loop {
        let (client, _) = listener.accept()?;
        thread::spawn(move || serve(client));
    }
}

fn serve(mut client: TcpStream) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut buffer = vec![0; CHUNK];
    let mut first = [0];
    client.read_exact(&mut first)?;
    let mut total: u64 = 0;
    if first == *b"k" {
        client.write_all(b"k")?;
    }
    loop {
        let count = client.read(&mut buffer)?;
        total += count as u64;
        match first[0] {
            b's' if buffer[..count].ends_with(b"!") => client.write_all(&total.to_be_bytes())?,
            b'e' if count > 0 => client.write_all(&buffer[..count])?,
            _ if count == 0 => return Ok(()),
            _ => {}
        }
    }
}

fn connect(to: SocketAddrV4) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(to)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    Ok(stream)
}

fn us(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e6
}

/// From before the connection to its first byte, in microseconds.
pub(crate) fn first_byte(to: SocketAddrV4) -> io::Result<f64> {
    let began = Instant::now();
    let mut stream = connect(to)?;
    stream.write_all(b"k")?;
    stream.read_exact(&mut [0])?;
    Ok(us(began))
}

/// How many bytes one connection carries in that time, and how long it really took.
pub(crate) fn flood(to: SocketAddrV4, time: Duration) -> io::Result<(f64, Duration)> {
    let mut stream = connect(to)?;
    stream.write_all(b"s")?;
    let chunk = vec![b'x'; CHUNK];
    let began = Instant::now();
    while began.elapsed() < time {
        stream.write_all(&chunk)?;
    }
    stream.write_all(b"!")?;
    let mut total = [0; 8];
    stream.read_exact(&mut total)?;
    Ok((u64::from_be_bytes(total) as f64, began.elapsed()))
}

/// Round trips of one byte, each in microseconds.
pub(crate) fn round_trips(to: SocketAddrV4, count: usize) -> io::Result<Vec<f64>> {
    let mut stream = connect(to)?;
    stream.write_all(b"e")?;
    (0..count)
        .map(|_| {
            let began = Instant::now();
            stream.write_all(b"y")?;
            stream.read_exact(&mut [0])?;
            Ok(us(began))
        })
        .collect()
}

/// Connections with one byte each, `at_once` at a time, each in microseconds.
pub(crate) fn connections(
    to: SocketAddrV4,
    time: Duration,
    at_once: usize,
) -> io::Result<Vec<f64>> {
    let client = move || -> io::Result<Vec<f64>> {
        let (began, mut took) = (Instant::now(), Vec::new());
        while began.elapsed() < time {
            took.push(first_byte(to)?);
        }
        Ok(took)
    };
    let clients: Vec<_> = (0..at_once).map(|_| thread::spawn(client)).collect();
    let mut all = Vec::new();
    for client in clients {
        all.extend(client.join().map_err(|_| io::Error::other("a client panicked"))??);
    }
    Ok(all)
}
