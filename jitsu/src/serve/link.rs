//! The toolstack, from the shell's side.
//!
//! Owns the connection that comes again after it was lost, and turning starts and stops into
//! requests and news into inputs. It must not decide: what it hears goes into the summoner.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jitsu_daemon::notify;
use jitsu_proto::{
    DomainState, DomainStatus, ErrorCode, Event, Name, Request, Response, RpcError, StopMode,
    TraceId, Wanted,
};
use tokio::time::{sleep, timeout};
use tracing::Instrument;

use super::Shell;
use crate::client::{Client, ConnectError, Events};
use crate::ready::ready;
use crate::summon::{Boot, Effect, Input, Phase};

/// How long after a failed attempt the toolstack is looked for again.
const CONNECT_PAUSE: Duration = Duration::from_millis(100);

const PROGRAM: &str = concat!("jitsu serve ", env!("CARGO_PKG_VERSION"));

/// Keeps the connection, and takes in what the toolstack tells.
pub(super) async fn run(shell: Arc<Shell>) {
    let mut told = String::new();
    loop {
        match connect(&shell).await {
            Ok((client, events)) => {
                tracing::info!("connected to the toolstack");
                notify::status("serving");
                told.clear();
                listen(&shell, client, events).await;
                shell.toolstack.send_replace(None);
                tracing::warn!("the toolstack was lost; what runs is served on");
                notify::status("serving; the toolstack is not there");
            }
            Err(error) => {
                let error = error.to_string();
                if error != told {
                    tracing::warn!(%error, "trying again");
                    told = error;
                }
            }
        }
        sleep(CONNECT_PAUSE).await;
    }
}

#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("the toolstack refused the subscription: {0}")]
    Subscribe(#[from] RpcError),
}

async fn connect(shell: &Shell) -> Result<(Client, Events), LinkError> {
    let path = shell.config().toolstack.clone();
    let client = Client::connect(&path, PROGRAM).await?;
    let (_, events) = client.subscribe(Request::Subscribe).await?;
    Ok((client, events))
}

async fn listen(shell: &Arc<Shell>, client: Client, mut events: Events) {
    // Until all has been told, what was not told yet may be gone.
    let mut first = Some((HashSet::new(), HashSet::new()));
    shell.toolstack.send_replace(Some(client));
    while let Some(event) = events.next().await {
        match event {
            Event::Service(name, spec) => {
                if let Some((services, _)) = &mut first {
                    services.insert(name.clone());
                }
                shell.define(&name, Some(spec));
                observe(shell, &name);
            }
            Event::ServiceGone(name) => shell.define(&name, None),
            Event::Domain(status) => {
                if let Some((_, domains)) = &mut first {
                    domains.insert(status.name.clone());
                }
                hear(shell, &status);
            }
            Event::DomainGone(name) => gone(shell, &name),
            Event::Ready => {
                if let Some((services, domains)) = first.take() {
                    forget_others(shell, &services, &domains);
                    shell.all_told();
                }
            }
            Event::Commit(_) | Event::Console(_) => {}
            Event::End(why) => tracing::warn!(%why, "the toolstack ended the subscription"),
        }
    }
}

fn forget_others(shell: &Arc<Shell>, services: &HashSet<Name>, domains: &HashSet<Name>) {
    let (old_services, old_domains): (Vec<Name>, Vec<Name>) = {
        let core = shell.core();
        let services = core.specs.keys().filter(|name| !services.contains(*name));
        let domains = core.domains.keys().filter(|name| !domains.contains(*name));
        (services.cloned().collect(), domains.cloned().collect())
    };
    for name in old_services {
        shell.define(&name, None);
    }
    for name in old_domains {
        gone(shell, &name);
    }
}

fn hear(shell: &Arc<Shell>, status: &DomainStatus) {
    if !shell.core().learn(status) {
        return;
    }
    if let Some(service) = service_of(shell, &status.name) {
        observe(shell, &service);
    }
}

fn gone(shell: &Arc<Shell>, domain: &Name) {
    let last = shell.core().domains.remove(domain);
    if let (Some(service), Some(_)) = (service_of(shell, domain), last) {
        observe(shell, &service);
    }
}

fn service_of(shell: &Shell, domain: &Name) -> Option<Name> {
    let core = shell.core();
    let mut specs = core.specs.iter();
    let found = specs.find(|(name, spec)| spec.domain.as_ref().unwrap_or(name) == domain);
    found.map(|(name, _)| name.clone())
}

fn domain_of(shell: &Shell, service: &Name) -> Name {
    let core = shell.core();
    let spec = core.specs.get(service);
    spec.and_then(|spec| spec.domain.clone()).unwrap_or_else(|| service.clone())
}

/// Compares what the toolstack last told of a service's domain with what the summoner believes.
fn observe(shell: &Arc<Shell>, service: &Name) {
    let domain = domain_of(shell, service);
    let core = shell.core();
    if core.asked.contains_key(service) {
        return;
    }
    let status = core.domains.get(&domain);
    let running = status.filter(|status| status.state == DomainState::Running);
    let address = running.and_then(|status| status.address);
    let why = status.and_then(|status| status.error.clone());
    // One that is still starting has not ended.
    let ended = status.is_none_or(|status| status.state != DomainState::Starting);
    match (core.summoner.phase(service), address) {
        (Some(Phase::Asleep | Phase::Failed { .. }), Some(address)) => {
            let Some(spec) = core.specs.get(service).cloned() else { return };
            drop(core);
            let (shell, service) = (shell.clone(), service.clone());
            tokio::spawn(async move {
                let mut toolstack = shell.toolstack.subscribe();
                let ready = ready(&spec.ready, &domain, address, &mut toolstack);
                // Not ready: then it is not taken for awake, and summoned when it is needed.
                if let Ok(Ok(())) = timeout(spec.hold_max.duration(), ready).await {
                    shell.input(&service, Input::Found(address));
                }
            });
        }
        (Some(Phase::Awake { boot, .. } | Phase::Waking { boot, .. }), None) if ended => {
            let boot = *boot;
            drop(core);
            shell.input(service, Input::Stopped(boot, why.map(Into::into)));
        }
        _ => {}
    }
}

/// Does what the summoner wants of the toolstack.
pub(super) fn act(shell: &Arc<Shell>, effect: Effect) {
    let (service, boot, stop) = match effect {
        Effect::Start(service, boot) => (service, boot, None),
        Effect::Stop(service, boot, mode) => (service, boot, Some(mode)),
        Effect::Answer(..) | Effect::Connect(..) | Effect::Refuse(..) => {
            unreachable!("BUG: waiters are told by the shell")
        }
    };
    let trace = shell.core().trace(&service);
    let span = tracing::info_span!("summon", %service, %trace);
    let shell = shell.clone();
    tokio::spawn(
        async move {
            match stop {
                None => start(&shell, service, boot, trace).await,
                Some(mode) => end(&shell, service, boot, mode, trace).await,
            }
        }
        .instrument(span),
    );
}

async fn start(shell: &Arc<Shell>, service: Name, boot: Boot, trace: TraceId) {
    let outcome = want(shell, &service, boot, Wanted::Running, trace).await;
    let waking = {
        let mut core = shell.core();
        core.answered(&service, outcome.as_ref());
        matches!(core.summoner.phase(&service), Some(Phase::Waking { .. }))
    };
    let status = match outcome {
        Some(Ok(status)) => status,
        // A stop took its place, and tells when the domain is gone.
        Some(Err(_)) if !waking => return,
        Some(Err(why)) => {
            tracing::warn!(%why, "the domain could not be started");
            return shell.input(&service, Input::Stopped(boot, Some(why.text.into())));
        }
        None => return,
    };
    if let Some(timing) = status.timing {
        shell.core().note(&service, boot, Some(timing));
    }
    let Some(address) = status.address else {
        let why = "its domain has no address".into();
        return shell.input(&service, Input::Stopped(boot, Some(why)));
    };
    if is_old(shell, &status) {
        // It ended since, and the news came before the reply was looked at.
        return observe(shell, &service);
    }
    let Some(spec) = shell.core().specs.get(&service).cloned() else { return };
    let mut toolstack = shell.toolstack.subscribe();
    let ready = ready(&spec.ready, &status.name, address, &mut toolstack);
    match timeout(spec.hold_max.duration(), ready).await {
        Ok(Ok(())) => {
            shell.core().note(&service, boot, None);
            shell.input(&service, Input::Started(boot, address));
        }
        Ok(Err(why)) => {
            tracing::warn!(%why, "nobody can tell whether the guest is ready");
            let _ = want(shell, &service, boot, Wanted::Absent, trace).await;
            shell.input(&service, Input::Stopped(boot, Some(why.text.into())));
        }
        // The summoner has the deadline; this only ends with it.
        Err(_) => {}
    }
}

/// Whether more is known of the domain than `status` says.
fn is_old(shell: &Shell, status: &DomainStatus) -> bool {
    let core = shell.core();
    core.domains
        .get(&status.name)
        .is_some_and(|known| known.version > status.version && known.state != DomainState::Running)
}

async fn end(shell: &Arc<Shell>, service: Name, boot: Boot, mode: StopMode, trace: TraceId) {
    let wanted = match mode {
        StopMode::Destroy => Wanted::Absent,
        StopMode::Shutdown => Wanted::Shutdown,
        StopMode::Suspend => Wanted::Suspended,
    };
    let outcome = want(shell, &service, boot, wanted, trace).await;
    shell.core().answered(&service, outcome.as_ref());
    match outcome {
        Some(Err(why)) if why.code != ErrorCode::NotFound => {
            // It is asked again when the summoner's patience ends.
            tracing::warn!(%why, "the domain could not be stopped");
        }
        Some(_) => shell.input(&service, Input::Stopped(boot, None)),
        None => {}
    }
}

/// Asks until there is an answer, or the boot is no longer the present one (None).
async fn want(
    shell: &Arc<Shell>,
    service: &Name,
    boot: Boot,
    wanted: Wanted,
    trace: TraceId,
) -> Option<Result<DomainStatus, RpcError>> {
    let name = domain_of(shell, service);
    let mut toolstack = shell.toolstack.subscribe();
    loop {
        let client = toolstack.wait_for(Option::is_some).await.ok()?.clone()?;
        if shell.core().summoner.boot(service) != Some(boot) {
            return None;
        }
        let request = Request::Want { name: name.clone(), wanted, branch: None };
        match client.ask(trace, request).await {
            Ok(Response::Domain(status)) => return Some(Ok(status)),
            Ok(other) => {
                tracing::error!(?other, "the toolstack answered something else");
                let text = "the toolstack answered something else";
                return Some(Err(RpcError::new(ErrorCode::BadRequest, text)));
            }
            // The toolstack may be coming back: what is wanted is wanted still.
            Err(error) if error.code == ErrorCode::Unavailable => sleep(CONNECT_PAUSE).await,
            Err(error) => return Some(Err(error)),
        }
    }
}
