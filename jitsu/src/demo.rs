//! `jitsu demo`: the whole story in a few seconds, checked as it is told.
//!
//! Owns the story. It ends well only if all of it happened.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use jitsu_daemon::log::{self, LogConfig};
use jitsu_proto::{Commit, Event, Millis, Name, Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::declare::Declarations;
use crate::forward::Forward;
use crate::serve::Summon;
use crate::up::Up;

/// What `jitsu demo` may be told.
#[derive(Debug, Args)]
pub struct Options {
    /// The folder; default: a new one, removed at the end.
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// How long the guest pretends to boot.
    #[arg(long, default_value = "200ms")]
    boot: Millis,
    /// How long the service stays awake when nobody needs it.
    #[arg(long, default_value = "2s")]
    idle: Millis,
}

/// The longest any one step may take beyond what it should.
const PATIENCE: Duration = Duration::from_secs(20);

/// Tells the story.
pub async fn run(options: Options) -> Result<()> {
    log::init(&LogConfig { level: "warn".to_owned(), ..LogConfig::default() })?;
    let (folder, remove) = match &options.dir {
        Some(folder) => (folder.clone(), false),
        None => (std::env::temp_dir().join(format!("jitsu-demo-{}", std::process::id())), true),
    };
    let told = timeout(PATIENCE * 3, tell(&folder, &options)).await;
    if remove {
        // What is left of a demonstration that failed is no use to anyone.
        let _ = std::fs::remove_dir_all(&folder);
    }
    told.context("the demonstration did not end in time")?
}

async fn tell(folder: &std::path::Path, options: &Options) -> Result<()> {
    say("jitsu demo: both daemons in one process, guests are processes; no Xen, no root.")?;
    let up = Up::start(folder, SocketAddr::from(([127, 0, 0, 1], 0)), Millis(200)).await?;
    let story = Story::begin(&up, options).await?;
    let told = story.tell(options).await;
    up.stop().await?;
    told?;
    say("\nAll of it happened.")
}

struct Story<'a> {
    up: &'a Up,
    hello: Name,
    front: SocketAddr,
    dns: Forward,
}

impl<'a> Story<'a> {
    async fn begin(up: &'a Up, options: &Options) -> Result<Story<'a>> {
        let hello = Name::new("hello")?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let front = SocketAddr::from(([127, 0, 0, 1], port));
        let declared = Declarations::parse(&format!(
            "[domain.hello]\nguest = {{ hello = {{ port = 8080, boot = \"{}\" }} }}\n\
             [service.hello]\nnames = [\"hello.jitsu.test\"]\nready = {{ port = 8080 }}\n\
             listen = [{{ on = \"{front}\", to = 8080 }}]\nidle = \"{}\"\n",
            options.boot, options.idle
        ))?;
        up.declare(&declared).await?;
        let dns = Forward::new(up.serve().dns_addresses())?;
        let story = Story { up, hello, front, dns };
        story.until("asleep", PATIENCE).await?;
        // The listener comes with the service; it is there when it can be connected to.
        Ok(story)
    }

    async fn tell(&self, options: &Options) -> Result<()> {
        let cold = self.cold().await?;
        let warm = self.warm().await?;
        ensure!(warm < cold, "a warm request took longer than a cold one");
        say(&format!("\n3. Nobody needs it for {}", options.idle))?;
        let began = Instant::now();
        self.until("asleep", options.idle.duration() + PATIENCE).await?;
        say(&format!("   its domain is gone             {}", ms(began.elapsed())))?;
        self.history().await
    }

    async fn question(&self) -> Result<()> {
        let said = self.dns.addresses("hello.jitsu.test").await?;
        ensure!(said == [self.front.ip()], "the name should be at {}: {said:?}", self.front.ip());
        Ok(())
    }

    async fn cold(&self) -> Result<Duration> {
        say("\n1. A cold request: the service sleeps, a name is asked for, two clients connect")?;
        let asked = Instant::now();
        self.question().await?;
        let answered = asked.elapsed();
        let (first, second) = tokio::try_join!(get(self.front), get(self.front))?;
        let summon =
            self.up.serve().shell().last_summon(&self.hello).context("nothing was summoned")?;
        ensure!(summon.boot.0 == 1, "two clients made {} boots", summon.boot.0);
        let Summon { woken, timing, ready, trace, .. } = summon;
        let timing = timing.context("the toolstack told no timing")?;
        let ready = ready.context("the guest never was ready")?;
        let step = |us: u64| ms(woken.duration_since(asked) + Duration::from_micros(us));
        say(&format!("   question → answer              {}   {}", ms(answered), self.front.ip()))?;
        say(&format!(
            "   question → intent durable      {}   a commit on domain/hello and main",
            step(timing.durable_us)
        ))?;
        say(&format!(
            "   question → domain created      {}   built, paused, while that was flushed",
            step(timing.created_us)
        ))?;
        say(&format!("   question → domain runs         {}", step(timing.unpaused_us)))?;
        say(&format!(
            "   question → guest ready         {}   its port accepts",
            ms(ready.duration_since(asked))
        ))?;
        say(&format!(
            "   question → first byte          {}   {:?}",
            ms(first.at.duration_since(asked)),
            first.line
        ))?;
        say(&format!(
            "   the second client's            {}   held through the same boot",
            ms(second.at.duration_since(asked))
        ))?;
        say(&format!("   trace                          {trace}"))?;
        Ok(first.at.duration_since(asked))
    }

    async fn warm(&self) -> Result<Duration> {
        say("\n2. A warm request")?;
        let asked = Instant::now();
        self.question().await?;
        let answered = asked.elapsed();
        let got = get(self.front).await?;
        let summon = self.up.serve().shell().last_summon(&self.hello).context("it was summoned")?;
        ensure!(summon.boot.0 == 1, "a warm request should boot nothing");
        say(&format!("   question → answer              {}", ms(answered)))?;
        say(&format!(
            "   question → first byte          {}   {:?}",
            ms(got.at.duration_since(asked)),
            got.line
        ))?;
        Ok(got.at.duration_since(asked))
    }

    /// Waits until the service is in that phase.
    async fn until(&self, phase: &str, limit: Duration) -> Result<()> {
        let (_, mut events) = self.up.client().subscribe(Request::Subscribe).await?;
        let shell = self.up.serve().shell();
        let waited = timeout(limit, async {
            while shell.phase(&self.hello) != Some(phase) {
                tokio::select! {
                    event = events.next() => ensure!(event.is_some(), "the toolstack was lost"),
                    // The phase follows the event by a moment.
                    () = tokio::time::sleep(Duration::from_millis(5)) => {}
                }
            }
            Ok(())
        });
        waited.await.with_context(|| format!("the service should be {phase} by now"))?
    }

    async fn history(&self) -> Result<()> {
        say("\n4. What was asked, by whom, with what result: jitsu log domain/hello")?;
        let request =
            Request::Log { rev: "domain/hello".to_owned(), path: None, limit: 50, follow: true };
        // The last commits may still be on their way.
        let (response, mut events) = self.up.client().subscribe(request).await?;
        let Response::Commits(mut commits) = response else {
            bail!("the toolstack answered something else: {response:?}");
        };
        let enough = |commits: &[Commit]| {
            let done = commits.iter().filter(|commit| {
                commit.fields.get("method").is_some_and(|method| method == "want")
                    && commit.fields.get("phase").is_some_and(|phase| phase == "done")
            });
            done.count() >= 2
        };
        let waited = timeout(PATIENCE, async {
            while !enough(&commits) {
                match events.next().await {
                    Some(Event::Commit(commit)) => commits.insert(0, commit),
                    Some(_) => {}
                    None => bail!("the toolstack was lost"),
                }
            }
            Ok(())
        });
        waited.await.context("the start and the stop should be recorded")??;
        for commit in &commits {
            say(&format!("   {}", crate::cli::commit_line(commit)))?;
        }
        Ok(())
    }
}

/// What a client got.
struct Got {
    /// When its first byte came.
    at: Instant,
    /// The first line of the body.
    line: String,
}

async fn get(front: SocketAddr) -> Result<Got> {
    let mut stream = connect(front).await?;
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: hello.jitsu.test\r\nConnection: close\r\n\r\n")
        .await?;
    let mut bytes = vec![0; 1];
    timeout(PATIENCE, stream.read_exact(&mut bytes)).await.context("no answer came")??;
    let at = Instant::now();
    stream.read_to_end(&mut bytes).await?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").context("the answer is not HTTP")?;
    ensure!(head.starts_with("HTTP/1.1 200"), "the answer is {head:?}");
    Ok(Got { at, line: body.lines().next().unwrap_or_default().to_owned() })
}

/// The listener follows the service's declaration by a moment.
async fn connect(front: SocketAddr) -> Result<TcpStream> {
    Ok(timeout(PATIENCE, crate::ready::dial(front)).await?)
}

fn ms(duration: Duration) -> String {
    format!("{:8.2} ms", duration.as_secs_f64() * 1e3)
}

fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).context("standard output is gone")
}
