"""The commands that run actions: run, debug."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from synapse_agent_sdk.cli import output, parameters
from synapse_agent_sdk.cli.command import Lookup, client_command
from synapse_agent_sdk.cli.failures import INTERRUPTED, REFUSED, UNREACHABLE, CliError, one_line
from synapse_agent_sdk.cli.session import Session  # noqa: TC001 - the annotations are evaluated

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


Action = Annotated[str, typer.Argument(help="The action's name.", metavar="ACTION")]
Params = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        "-p",
        help="A parameter, repeatable. VALUE is JSON where it parses, and text otherwise; @FILE is what a file holds, "
        "- what stdin does; A.B=VALUE nests.",
        metavar="NAME=VALUE",
    ),
]
ParamsFile = Annotated[
    str | None,
    typer.Option("--params-file", help="JSON file of parameters, - for stdin; -p lays over it.", metavar="FILE"),
]
Requirement = Annotated[
    list[str] | None,
    typer.Option("--requirement", help="A package that the action needs too; repeatable.", metavar="PACKAGE"),
]
JobId = Annotated[str | None, typer.Option("--job-id", help="Your own id for this run.", metavar="ID")]
Language = Annotated[str | None, typer.Option("--language", help="Language of messages for people.", metavar="CODE")]
IdempotencyKey = Annotated[
    str | None,
    typer.Option("--idempotency-key", help="Agents that honour it run once per key.", metavar="UUID"),
]


@client_command
def run(
    session: Session,
    lookup: Lookup,
    action: Action,
    param: Params = None,
    params_file: ParamsFile = None,
    requirement: Requirement = None,
    job_id: JobId = None,
    language: Language = None,
    idempotency_key: IdempotencyKey = None,
) -> None:
    """Run an action of a cached release, and show its result."""
    params = _params(session, param, params_file)
    key = idempotency_key or str(uuid.uuid4())
    with session.client() as client:
        result = _waited(
            f"{action} of {lookup}",
            job_id,
            key,
            lambda: client.run_plugin_release(
                lookup,
                action,
                params,
                requirements=requirement or None,
                job_id=job_id,
                language=language,
                idempotency_key=key,
            ),
        )
    _show(session, result)


@client_command
def debug(
    session: Session,
    action: Action,
    plugin_path: Annotated[
        Path | None,
        typer.Option(
            "--plugin-path", help="Folder of sources on the agent's machine; else this one.", metavar="FOLDER"
        ),
    ] = None,
    param: Params = None,
    params_file: ParamsFile = None,
    config: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting, laid over config.yaml; written as -p is.", metavar="NAME=VALUE"),
    ] = None,
    module: Annotated[
        list[str] | None,
        typer.Option("--module", help="Source of a module, laid over the sources; repeatable.", metavar="NAME=FILE"),
    ] = None,
    requirement: Requirement = None,
    job_id: JobId = None,
    language: Language = None,
    idempotency_key: IdempotencyKey = None,
) -> None:
    """Run an action from source, with no release, and show its result."""
    modules = _modules(session, module or [])
    folder = plugin_path if plugin_path is not None or modules else Path()
    params = _params(session, param, params_file)
    settings = _parsed(lambda: parameters.parse(config or [], _reader(session), option="--set")) if config else None
    key = idempotency_key or str(uuid.uuid4())
    try:
        with session.client() as client:
            result = _waited(
                f"{action} from source",
                job_id,
                key,
                lambda: client.run_debug_plugin_release(
                    action,
                    params,
                    plugin_path=None if folder is None else folder.absolute(),
                    config=settings,
                    modules=modules or None,
                    requirements=requirement or None,
                    job_id=job_id,
                    language=language,
                    idempotency_key=key,
                ),
            )
    except CliError as failure:
        if failure.details and not session.options.debug:  # who debugs wants to see where
            output.print_err(f"{failure.details}\n")
            failure.hint = "" if "--debug" in failure.hint else failure.hint
        if failure.code == REFUSED and folder is not None and not failure.hint:
            failure.hint = f"The sources were those of {folder.absolute()}: --plugin-path FOLDER names others."
        raise
    _show(session, result)


def _waited(what: str, job_id: str | None, key: str, call: Callable[[], Any]) -> Any:
    """The result of a run; where it is interrupted or breaks, what is known of it."""
    from synapse_agent_sdk.exceptions import ClientResponseIncompleteError, ClientTimeoutError

    shown = f"job id {job_id}" if job_id else "it was given no job id"
    again = f"Where the agent honours keys, `--idempotency-key {key}` waits for this run, and starts no other."
    try:
        with output.waiting(f"Running {what}"):
            return call()
    except KeyboardInterrupt:
        message = f"Interrupted. {what} may go on on the agent ({shown})."
        raise CliError(message, again, INTERRUPTED) from None
    except ClientResponseIncompleteError as error:
        late = isinstance(error, ClientTimeoutError)
        why = "No answer came in time" if late else f"The connection broke ({error.detail})"
        message = f"{why}. {what} may go on on the agent ({shown})."
        raise CliError(one_line(message), again, UNREACHABLE) from error


def _params(session: Session, given: Sequence[str] | None, file: str | None) -> dict[str, Any] | None:
    """The parameters of `-p`, over those of a file; None where there are neither."""
    if not given and file is None:
        return None
    read = _reader(session)

    def parse() -> dict[str, Any]:
        source = "standard input" if file == parameters.STDIN else f"{file}"
        base = None if file is None else parameters.parse_object(read(file), source)
        return parameters.parse(given or [], read, base)

    return _parsed(parse)


def _parsed(parse: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return parse()
    except parameters.ParameterError as error:
        raise CliError(str(error)) from None


def _modules(session: Session, given: Sequence[str]) -> dict[str, str]:
    """Sources by the names of their modules."""
    read = _reader(session)
    modules = {}
    for text in given:
        name, _, file = text.partition("=")
        if not name or not file:
            raise CliError(f"--module {text!r} is no module.", "Write NAME=FILE, such as plugin.train=train.py.")
        if name in modules:
            raise CliError(f"--module {name} is given twice.", "Give it once.")
        modules[name] = read(file)
    return modules


def _reader(session: Session) -> Callable[[str], str]:
    """Reads the files that parameters name, and standard input."""

    def read(file: str) -> str:
        if file == parameters.STDIN:
            return session.stdin("- (a parameter)")
        try:
            return Path(file).expanduser().read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            why = (error.strerror if isinstance(error, OSError) else None) or error
            hint = "A text that begins with @ is written in quotes of its own: '\"@text\"'."
            raise CliError(f"The file {file!r} cannot be read: {why}.", hint) from None

    return read


def _show(session: Session, result: Any) -> None:
    """Show a result: JSON, but a text as it is where a person reads it."""
    if isinstance(result, str) and not session.output.is_json:
        session.output.line(result)
    else:
        session.output.json(result)
