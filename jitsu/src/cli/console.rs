//! `jitsu console`.
//!
//! Owns passing bytes between a terminal and a domain's console, line by line as the terminal
//! gives them.

use anyhow::{Result, bail};
use jitsu_proto::{Event, Name, Request, TraceId};
use tokio::io::{AsyncReadExt, stdin};

use super::{Session, explain};

impl Session {
    pub(super) async fn console(&self, name: Name) -> Result<()> {
        let client = self.connect().await?;
        let request = Request::Console { name: name.clone() };
        let (_, mut events) = client.subscribe(request).await.map_err(|error| explain(&error))?;
        let mut typed = [0; 1024];
        let mut keyboard = stdin();
        let mut typing = true;
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(Event::Console(bytes)) => self.output.bytes(&bytes)?,
                    Some(Event::End(why)) => {
                        return self.output.line(&format!("\nthe console ends: {why}"));
                    }
                    Some(_) => {}
                    None => bail!("the connection to the toolstack was lost"),
                },
                read = keyboard.read(&mut typed), if typing => match read? {
                    0 => typing = false,
                    count => {
                        let bytes = typed[..count].to_vec();
                        let request = Request::Type { name: name.clone(), bytes };
                        client.ask(TraceId::default(), request).await.map_err(|error| explain(&error))?;
                    }
                },
                _ = tokio::signal::ctrl_c() => return Ok(()),
            }
        }
    }
}
