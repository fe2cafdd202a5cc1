//! `jitsu service …`.
//!
//! Owns reading, changing and writing the declarations of one service and its domain.

use anyhow::{Context as _, Result, bail};
use jitsu_proto::{
    DomainSpec, ErrorCode, Front, Guest, Listen, Millis, Name, Ready, Request, Response,
    ServiceSpec, TraceId,
};
use serde_json::json;

use super::args::AddOptions;
use super::{Session, explain, strange};
use crate::client::Client;
use crate::declare::Declarations;

impl Session {
    pub(super) async fn service_add(&self, options: AddOptions) -> Result<()> {
        let all = match &options.file {
            Some(file) => from_file(file, options.name.as_ref())?,
            None => from_options(&options)?,
        };
        if all.service.is_empty() && all.domain.is_empty() {
            bail!("the file declares nothing: write [service.NAME] and [domain.NAME] tables");
        }
        let client = self.connect().await?;
        self.declare(&client, &all, options.branch.as_deref()).await?;
        let names = all
            .service
            .keys()
            .chain(all.domain.keys().filter(|name| !all.service.contains_key(*name)));
        let names = names.map(Name::as_str).collect::<Vec<_>>().join(", ");
        self.output.done(&format!("added {names}{}", staged(options.branch.as_deref())))
    }

    async fn declare(
        &self,
        client: &Client,
        all: &Declarations,
        branch: Option<&str>,
    ) -> Result<()> {
        for request in all.requests(branch) {
            self.ask(client, "declaring", request).await?;
        }
        Ok(())
    }

    pub(super) async fn service_set(
        &self,
        name: &Name,
        settings: &[String],
        branch: Option<&str>,
    ) -> Result<()> {
        let client = self.connect().await?;
        let before = self.declared(&client, name).await?;
        let mut all = before.clone();
        for setting in settings {
            all = all.set(name, setting)?;
        }
        // What did not change is not asked again: it would be recorded.
        all.service.retain(|name, spec| before.service.get(name) != Some(spec));
        all.domain.retain(|name, spec| before.domain.get(name) != Some(spec));
        self.declare(&client, &all, branch).await?;
        self.output.done(&format!("changed {name}{}", staged(branch)))
    }

    pub(super) async fn service_rm(
        &self,
        name: &Name,
        keep_domain: bool,
        branch: Option<&str>,
    ) -> Result<()> {
        let client = self.connect().await?;
        let declared = self.declared(&client, name).await?;
        let branch_name = branch.map(str::to_owned);
        let request = Request::UndefineService { name: name.clone(), branch: branch_name.clone() };
        self.ask(&client, "removing", request).await?;
        if !keep_domain {
            for domain in declared.domain.into_keys() {
                let request = Request::UndefineDomain { name: domain, branch: branch_name.clone() };
                self.ask(&client, "removing its domain", request).await?;
            }
        }
        self.output.done(&format!("removed {name}{}", staged(branch)))
    }

    pub(super) async fn service_show(&self, name: &Name) -> Result<()> {
        let client = self.connect().await?;
        let all = self.declared(&client, name).await?;
        let value = json!({ "service": all.service, "domain": all.domain });
        self.output.show(&value, || all.to_toml())
    }

    /// A service and its domain as they are on `main`.
    async fn declared(&self, client: &Client, name: &Name) -> Result<Declarations> {
        let services = match self.ask(client, "asking", Request::Services).await? {
            Response::Services(services) => services,
            other => return strange(&other),
        };
        let known = services.iter().map(|(name, ..)| name.as_str()).collect::<Vec<_>>().join(", ");
        let (_, spec, _) = services
            .into_iter()
            .find(|(other, ..)| other == name)
            .with_context(|| format!("there is no service {name}; there are: {known}"))?;
        let domain = spec.domain.clone().unwrap_or_else(|| name.clone());
        let mut all = Declarations::default();
        all.service.insert(name.clone(), spec);
        match client.ask(TraceId::default(), Request::Spec { name: domain.clone() }).await {
            Ok(Response::Spec(spec)) => drop(all.domain.insert(domain, spec)),
            Ok(other) => return strange(&other),
            Err(error) if error.code == ErrorCode::NotFound => {}
            Err(error) => return Err(explain(&error)),
        }
        Ok(all)
    }
}

fn from_file(file: &std::path::Path, only: Option<&Name>) -> Result<Declarations> {
    let mut all = Declarations::load(file)?;
    if let Some(only) = only {
        let Some(spec) = all.service.get(only) else {
            bail!("{} declares no service {only}", file.display());
        };
        let domain = spec.domain.clone().unwrap_or_else(|| only.clone());
        all.service.retain(|name, _| name == only);
        all.domain.retain(|name, _| *name == domain);
    }
    Ok(all)
}

fn from_options(options: &AddOptions) -> Result<Declarations> {
    let name = options.name.clone().context("a service needs a name")?;
    let guest = if options.command.is_empty() {
        Guest::Hello { port: options.port, boot: Millis(0) }
    } else {
        Guest::Command { argv: options.command.clone(), env: Default::default() }
    };
    let listen = options.listen.iter().map(|on| Listen { on: *on, to: Some(options.port) });
    let spec = ServiceSpec {
        names: options.dns.clone(),
        front: if options.listen.is_empty() { Front::Direct } else { Front::Proxy },
        listen: listen.collect(),
        ready: Ready::Port(options.port),
        ..ServiceSpec::default()
    };
    let mut all = Declarations::default();
    all.domain.insert(name.clone(), DomainSpec::new(guest));
    all.service.insert(name, spec);
    // What the options say is checked as a file would be.
    Ok(Declarations::parse(&all.to_toml())?)
}

/// Where it was staged, for a person.
pub(super) fn staged(branch: Option<&str>) -> String {
    branch.map_or_else(String::new, |branch| {
        format!(" on branch {branch}; `jitsu diff main {branch}` shows it, `jitsu merge {branch}` does it")
    })
}
