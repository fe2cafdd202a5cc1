//! `jitsu log`, `show`, `diff`, `branch`, `merge`, `revert`, `cat`, `edit`.
//!
//! Owns how commits, changes and conflicts look to a person.

use anyhow::{Context as _, Result, bail};
use jitsu_proto::{Change, Commit, Conflict, Edit, Event, Node, Request, Response, Value};
use serde_json::json;

use super::output::{duration, moment, table};
use super::{Session, explain, strange};

impl Session {
    pub(super) async fn log(
        &self,
        rev: String,
        path: Option<String>,
        follow: bool,
        limit: u32,
    ) -> Result<()> {
        let client = self.connect().await?;
        let request = Request::Log { rev, path, limit, follow };
        let (response, mut events) =
            client.subscribe(request).await.map_err(|error| explain(&error))?;
        let Response::Commits(mut commits) = response else { return strange(&response) };
        if !follow {
            return self
                .output
                .show(&json!(commits), || commits.iter().map(|c| commit_line(c) + "\n").collect());
        }
        // What follows comes oldest first, and so does what was there.
        commits.reverse();
        for commit in &commits {
            self.output.show_one(&json!(commit), || commit_line(commit))?;
        }
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(Event::Commit(commit)) => {
                        self.output.show_one(&json!(commit), || commit_line(&commit))?;
                    }
                    Some(Event::End(why)) => bail!("the log ends: {why}"),
                    Some(_) => {}
                    None => bail!("the connection to the toolstack was lost"),
                },
                _ = tokio::signal::ctrl_c() => return Ok(()),
            }
        }
    }

    pub(super) async fn show(&self, rev: String) -> Result<()> {
        let client = self.connect().await?;
        match self.ask(&client, "asking", Request::Show { rev }).await? {
            Response::Shown(commit, changes) => {
                let value = json!({ "commit": commit, "changes": changes });
                self.output.show(&value, || whole(&commit) + "\n" + &differences(&changes))
            }
            other => strange(&other),
        }
    }

    pub(super) async fn diff(&self, from: String, to: String, path: Option<String>) -> Result<()> {
        let client = self.connect().await?;
        match self.ask(&client, "comparing", Request::Diff { from, to, path }).await? {
            Response::Changes(changes) => {
                self.output.show(&json!(changes), || differences(&changes))
            }
            other => strange(&other),
        }
    }

    pub(super) async fn branches(&self) -> Result<()> {
        let client = self.connect().await?;
        match self.ask(&client, "asking", Request::Branches).await? {
            Response::Branches(branches) => {
                let row = |branch: &jitsu_proto::Branch| {
                    let head = &branch.head;
                    vec![
                        branch.name.clone(),
                        short(&head.id).to_owned(),
                        moment(head.time_ms),
                        head.message.clone(),
                    ]
                };
                let rows: Vec<_> = branches.iter().map(row).collect();
                self.output
                    .show(&json!(branches), || table(&["BRANCH", "HEAD", "WHEN", "LAST"], &rows))
            }
            other => strange(&other),
        }
    }

    pub(super) async fn branch_create(&self, name: String, from: String) -> Result<()> {
        self.commit(&format!("branch {name}"), Request::Fork { name: name.clone(), from }).await
    }

    pub(super) async fn branch_delete(&self, name: String) -> Result<()> {
        let client = self.connect().await?;
        let request = Request::DeleteBranch { name: name.clone() };
        self.ask(&client, "deleting", request).await?;
        self.output.done(&format!("deleted {name}"))
    }

    pub(super) async fn merge(&self, from: String, into: String) -> Result<()> {
        self.commit(&into.clone(), Request::Merge { from, into }).await
    }

    pub(super) async fn revert(&self, rev: String, branch: String) -> Result<()> {
        self.commit(&branch.clone(), Request::Revert { rev, branch }).await
    }

    pub(super) async fn edit(&self, branch: String, edits: &[String]) -> Result<()> {
        let edit = |text: &String| {
            let (path, value) = text.split_once('=').with_context(|| {
                format!("{text:?} is not an edit: write PATH=TEXT to set, PATH= to remove")
            })?;
            let value = (!value.is_empty()).then(|| value.to_owned());
            Ok(Edit { path: path.to_owned(), value })
        };
        let edits = edits.iter().map(edit).collect::<Result<Vec<_>>>()?;
        self.commit(&branch.clone(), Request::Edit { branch, edits }).await
    }

    /// Asks for a commit on `branch`, and shows it.
    async fn commit(&self, branch: &str, request: Request) -> Result<()> {
        let client = self.connect().await?;
        match self.ask(&client, "working", request).await? {
            Response::Committed { head, changed } => {
                let value = json!({ "head": head, "changed": changed });
                self.output.show(&value, || {
                    let is = if changed { "is now at" } else { "has it already, and stays at" };
                    format!("{branch} {is}\n{}\n", commit_line(&head))
                })
            }
            other => strange(&other),
        }
    }

    pub(super) async fn cat(&self, at: &str) -> Result<()> {
        let (path, rev) = at.rsplit_once('@').unwrap_or((at, "main"));
        let request =
            Request::Read { rev: rev.to_owned(), path: path.trim_matches('/').to_owned() };
        let client = self.connect().await?;
        match self.ask(&client, "reading", request).await? {
            Response::Node(node) => self.output.show(&json!(node), || match &node {
                Node::Contents(value) => text(value) + "\n",
                Node::Directory(entries) => entries
                    .iter()
                    .map(|entry| match &entry.value {
                        None => format!("{}/\n", entry.name),
                        Some(value) => format!("{} = {}\n", entry.name, text(value)),
                    })
                    .collect(),
            }),
            other => strange(&other),
        }
    }
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// A commit in a line: which, when, who, what, and what came of it.
pub fn commit_line(commit: &Commit) -> String {
    let mut text = format!(
        "{}  {}  {}  {}",
        short(&commit.id),
        moment(commit.time_ms),
        commit.author,
        commit.message
    );
    if let Some(result) = commit.fields.get("result") {
        text.push_str(": ");
        text.push_str(result);
    }
    let took = commit.fields.get("duration_us").and_then(|us| us.parse().ok());
    if let Some(us) = took {
        text.push_str(&format!(" in {}", duration(us)));
    }
    text
}

fn whole(commit: &Commit) -> String {
    let mut text = format!("commit  {}\n", commit.id);
    for parent in &commit.parents {
        text.push_str(&format!("parent  {}\n", short(parent)));
    }
    text.push_str(&format!("when    {}\n", moment(commit.time_ms)));
    text.push_str(&format!("who     {}\n", commit.author));
    text.push_str(&format!("what    {}\n", commit.message));
    for (name, value) in &commit.fields {
        text.push_str(&format!("        {name} = {value}\n"));
    }
    text
}

fn differences(changes: &[Change]) -> String {
    let one = |change: &Change| {
        let before =
            change.before.as_ref().map(|value| format!("- {} = {}\n", change.path, text(value)));
        let after =
            change.after.as_ref().map(|value| format!("+ {} = {}\n", change.path, text(value)));
        before.unwrap_or_default() + &after.unwrap_or_default()
    };
    changes.iter().map(one).collect()
}

/// The three sides of a conflict, below an error.
pub(super) fn conflict(conflict: &Conflict) -> String {
    let side = |value: &Option<Value>| value.as_ref().map_or_else(|| "nothing".to_owned(), text);
    format!(
        "\n  {}\n    was:    {}\n    ours:   {}\n    theirs: {}",
        conflict.path,
        side(&conflict.base),
        side(&conflict.ours),
        side(&conflict.theirs)
    )
}

fn text(value: &Value) -> String {
    match value {
        Value::Text(text) | Value::Register(text) => text.clone(),
        Value::Bytes(bytes) => format!("{} bytes that are no text", bytes.len()),
        Value::Counter(count) => count.to_string(),
        Value::Set(members) => format!("{{{}}}", members.join(", ")),
        Value::Directory => "a directory".to_owned(),
    }
}
