//! `jitsu relay`.
//!
//! Owns passing what another store says on standard input to the toolstack's store, and its
//! answers back. What the two say it does not know.
//!
//! ```text
//!   length, 4 bytes little-endian │ 'm' message, or 'e' why there is none, as text
//! ```

use anyhow::{Result, bail};
use jitsu_proto::{FRAME_BYTES_MAX, Request, Response, TraceId};
use tokio::io::{self, AsyncReadExt, AsyncWriteExt};

use super::{Session, explain};

impl Session {
    pub(super) async fn relay(&self, push: bool) -> Result<()> {
        let client = self.connect().await?;
        let (mut from, mut to) = (io::stdin(), io::stdout());
        while let Some(message) = read(&mut from).await? {
            let request = if push { Request::Push { message } } else { Request::Fetch { message } };
            match client.ask(TraceId::default(), request).await {
                Ok(Response::Said(message)) => write(&mut to, b'm', &message).await?,
                Ok(other) => bail!("the toolstack answered with something else: {other:?}"),
                Err(error) => write(&mut to, b'e', explain(&error).to_string().as_bytes()).await?,
            }
        }
        Ok(())
    }
}

/// The next message; `None` at the end.
async fn read(from: &mut io::Stdin) -> Result<Option<Vec<u8>>> {
    let mut len = [0; 4];
    match from.read_exact(&mut len).await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => _ = read?,
    }
    let len = u32::from_le_bytes(len) as usize;
    if len == 0 || len > FRAME_BYTES_MAX {
        bail!("a message of {len} bytes, not of 1 to {FRAME_BYTES_MAX}");
    }
    let mut message = vec![0; len];
    from.read_exact(&mut message).await?;
    match message.remove(0) {
        b'm' => Ok(Some(message)),
        other => bail!("a message of the kind {other:#04x}, which is not known"),
    }
}

async fn write(to: &mut io::Stdout, kind: u8, body: &[u8]) -> Result<()> {
    let mut bytes = u32::try_from(1 + body.len())?.to_le_bytes().to_vec();
    bytes.push(kind);
    bytes.extend(body);
    to.write_all(&bytes).await?;
    Ok(to.flush().await?)
}
