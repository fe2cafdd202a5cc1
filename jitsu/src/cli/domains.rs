//! `jitsu start`, `stop`, `pause`, `restart`.
//!
//! Owns wanting a domain to be something, and telling what came of it.

use anyhow::Result;
use jitsu_proto::{DomainState, Name, Request, Response, Wanted};
use serde_json::json;

use super::args::How;
use super::output::duration;
use super::services::staged;
use super::{Session, strange};

impl Session {
    pub(super) async fn start(&self, name: Name, branch: Option<String>) -> Result<()> {
        self.want(name, Wanted::Running, branch).await
    }

    pub(super) async fn stop(&self, name: Name, how: How, branch: Option<String>) -> Result<()> {
        let wanted = match how {
            How::Shutdown => Wanted::Shutdown,
            How::Destroy => Wanted::Absent,
            How::Suspend => Wanted::Suspended,
        };
        self.want(name, wanted, branch).await
    }

    pub(super) async fn pause(&self, name: Name, branch: Option<String>) -> Result<()> {
        self.want(name, Wanted::Paused, branch).await
    }

    pub(super) async fn restart(&self, name: Name) -> Result<()> {
        self.want(name.clone(), Wanted::Shutdown, None).await?;
        self.want(name, Wanted::Running, None).await
    }

    async fn want(&self, name: Name, wanted: Wanted, branch: Option<String>) -> Result<()> {
        let client = self.connect().await?;
        let what = match wanted {
            Wanted::Running => "starting",
            Wanted::Paused => "pausing",
            Wanted::Suspended => "suspending",
            Wanted::Shutdown | Wanted::Absent => "stopping",
        };
        let staging = branch.clone();
        let request = Request::Want { name: name.clone(), wanted, branch };
        let response = self.ask(&client, &format!("{what} {name}"), request).await?;
        if let Some(branch) = staging {
            return self.output.done(&format!("{what} {name} is staged{}", staged(Some(&branch))));
        }
        let status = match response {
            Response::Domain(status) => status,
            other => return strange(&other),
        };
        self.output.show(&json!(status), || {
            let state = match status.state {
                DomainState::Absent => "gone".to_owned(),
                other => json!(other).as_str().unwrap_or_default().to_owned(),
            };
            let address = status.address.filter(|_| status.state != DomainState::Absent);
            let at = address.map_or_else(String::new, |address| format!(" at {address}"));
            let timing = status.timing.filter(|_| status.state == DomainState::Running);
            let after = timing.map_or_else(String::new, |timing| {
                format!(
                    " (durable after {}, built after {}, running after {})",
                    duration(timing.durable_us),
                    duration(timing.created_us),
                    duration(timing.unpaused_us)
                )
            });
            format!("{name} is {state}{at}{after}\n")
        })
    }
}
