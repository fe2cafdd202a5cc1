//! `jitsu status` and `jitsu watch`.
//!
//! Owns one table. It must not keep anything between two looks.

use std::collections::BTreeMap;

use anyhow::Result;
use jitsu_proto::{
    DomainState, DomainStatus, Facts, Info, Millis, Name, Request, Response, ServiceSpec,
};
use serde_json::json;

use super::output::{ago, table};
use super::{Session, strange};
use crate::client::Client;

struct Everything {
    info: Info,
    services: Vec<(Name, ServiceSpec, Facts)>,
    domains: BTreeMap<Name, DomainStatus>,
}

impl Session {
    pub(super) async fn status(&self) -> Result<()> {
        let client = self.connect().await?;
        let all = self.look(&client).await?;
        self.output.show(&all.json(), || all.lines())
    }

    pub(super) async fn watch(&self, interval: Millis) -> Result<()> {
        let client = self.connect().await?;
        loop {
            let all = self.look(&client).await?;
            self.output.clear()?;
            self.output.show(&all.json(), || all.lines())?;
            tokio::select! {
                () = tokio::time::sleep(interval.duration()) => {}
                _ = tokio::signal::ctrl_c() => return Ok(()),
            }
        }
    }

    async fn look(&self, client: &Client) -> Result<Everything> {
        let info = match self.ask(client, "asking", Request::Info).await? {
            Response::Info(info) => info,
            other => return strange(&other),
        };
        let services = match self.ask(client, "asking", Request::Services).await? {
            Response::Services(services) => services,
            other => return strange(&other),
        };
        let domains = match self.ask(client, "asking", Request::List).await? {
            Response::Domains(domains) => domains,
            other => return strange(&other),
        };
        let domains = domains.into_iter().map(|status| (status.name.clone(), status)).collect();
        Ok(Everything { info, services, domains })
    }
}

impl Everything {
    fn json(&self) -> serde_json::Value {
        let service = |(name, spec, facts): &(Name, ServiceSpec, Facts)| {
            json!({
                "name": name, "spec": spec, "facts": facts,
                "domain": self.domains.get(spec.domain.as_ref().unwrap_or(name)),
            })
        };
        json!({
            "toolstack": self.info,
            "services": self.services.iter().map(service).collect::<Vec<_>>(),
            "domains": self.domains.values().collect::<Vec<_>>(),
        })
    }

    fn lines(&self) -> String {
        let Info { program, hypervisor, up_ms, store, role } = &self.info;
        let up = ago(now_ms().saturating_sub(*up_ms));
        let mut text = format!(
            "{program}, hypervisor {hypervisor}, up {up}, store {store}, your role {}\n\n",
            json!(role).as_str().unwrap_or_default()
        );
        let mut left = self.domains.clone();
        let mut rows = Vec::new();
        for (name, spec, facts) in &self.services {
            let domain = left.remove(spec.domain.as_ref().unwrap_or(name));
            let listen = spec.listen.iter().map(|listen| listen.on.to_string());
            let at = spec.names.iter().cloned().chain(listen).collect::<Vec<_>>().join(" ");
            let mut row = vec![name.to_string()];
            row.extend(state(domain.as_ref()));
            let counted = [facts.questions, facts.connections, facts.refused, facts.boots];
            row.extend(counted.iter().map(ToString::to_string));
            row.push(error(domain.as_ref()).unwrap_or(at));
            rows.push(row);
        }
        let headings = [
            "SERVICE",
            "STATE",
            "FOR",
            "ADDRESS",
            "ID",
            "QUESTIONS",
            "CONNECTIONS",
            "REFUSED",
            "BOOTS",
            "AT",
        ];
        text.push_str(&table(&headings, &rows));
        if !left.is_empty() {
            let row = |domain: &DomainStatus| {
                let mut row = vec![domain.name.to_string()];
                row.extend(state(Some(domain)));
                row.push(error(Some(domain)).unwrap_or_default());
                row
            };
            let rows: Vec<_> = left.values().map(row).collect();
            let headings = ["DOMAIN", "STATE", "FOR", "ADDRESS", "ID", "ERROR"];
            text.push('\n');
            text.push_str(&table(&headings, &rows));
        }
        if self.services.is_empty() {
            text.push_str("no services yet: `jitsu service add --help`\n");
        }
        text
    }
}

fn now_ms() -> u64 {
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

fn state(domain: Option<&DomainStatus>) -> [String; 4] {
    let Some(domain) = domain else {
        return ["no domain".to_owned(), "-".to_owned(), "-".to_owned(), "-".to_owned()];
    };
    let word = match domain.state {
        DomainState::Absent => "asleep",
        DomainState::Starting => "starting",
        DomainState::Running => "running",
        DomainState::Paused => "paused",
        DomainState::Suspended => "suspended",
        DomainState::Stopping => "stopping",
        DomainState::Failed => "failed",
    };
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    [
        word.to_owned(),
        ago(domain.since_ms),
        or_dash(domain.address.map(|address| address.to_string())),
        or_dash(domain.id.map(|id| id.to_string())),
    ]
}

/// Why a domain that is not well is not.
fn error(domain: Option<&DomainStatus>) -> Option<String> {
    let domain = domain.filter(|domain| domain.state == DomainState::Failed)?;
    domain.error.as_ref().map(|error| format!("! {error}"))
}
