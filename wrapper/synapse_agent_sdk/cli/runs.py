"""The run commands: run, debug."""

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


Action = Annotated[str, typer.Argument(help="Name of the action.", metavar="ACTION")]
Params = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        "-p",
        help="Parameter of the action; repeatable. VALUE is JSON if it parses, else a string; @FILE reads a file, "
        "- reads stdin; A.B=VALUE nests.",
        metavar="NAME=VALUE",
    ),
]
ParamsFile = Annotated[
    str | None,
    typer.Option("--params-file", help="JSON file with parameters, or - for stdin; -p overrides it.", metavar="FILE"),
]
Requirement = Annotated[
    list[str] | None,
    typer.Option("--requirement", help="Additional package for the action; repeatable.", metavar="PACKAGE"),
]
JobId = Annotated[str | None, typer.Option("--job-id", help="Id for this run.", metavar="ID")]
Language = Annotated[str | None, typer.Option("--language", help="Language of user-facing messages.", metavar="CODE")]
IdempotencyKey = Annotated[
    str | None,
    typer.Option(
        "--idempotency-key", help="Key that prevents duplicate runs, if the agent supports it.", metavar="UUID"
    ),
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
    """Run an action of a cached release and print its result."""
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
            "--plugin-path", help="Source folder on the agent's machine. Default: current folder.", metavar="FOLDER"
        ),
    ] = None,
    param: Params = None,
    params_file: ParamsFile = None,
    config: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override an entry of config.yaml; same syntax as -p.", metavar="NAME=VALUE"),
    ] = None,
    module: Annotated[
        list[str] | None,
        typer.Option("--module", help="Override a module with a source file; repeatable.", metavar="NAME=FILE"),
    ] = None,
    requirement: Requirement = None,
    job_id: JobId = None,
    language: Language = None,
    idempotency_key: IdempotencyKey = None,
) -> None:
    """Run an action from source and print its result."""
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
        if failure.details and not session.options.debug:  # debug runs always show where they failed
            output.print_err(f"{failure.details}\n")
            failure.hint = "" if "--debug" in failure.hint else failure.hint
        if failure.code == REFUSED and folder is not None and not failure.hint:
            failure.hint = f"The source folder was {folder.absolute()}: use --plugin-path FOLDER to change it."
        raise
    _show(session, result)


def _waited(what: str, job_id: str | None, key: str, call: Callable[[], Any]) -> Any:
    """Wait for a run; if interrupted, report its job id and idempotency key."""
    from synapse_agent_sdk.exceptions import ClientResponseIncompleteError, ClientTimeoutError

    shown = f"job id {job_id}" if job_id else "no job id was set"
    again = (
        f"Use `--idempotency-key {key}` to wait for this run instead of starting another, if the agent supports keys."
    )
    try:
        with output.waiting(f"Running {what}"):
            return call()
    except KeyboardInterrupt:
        message = f"Interrupted. {what} may still be running on the agent ({shown})."
        raise CliError(message, again, INTERRUPTED) from None
    except ClientResponseIncompleteError as error:
        late = isinstance(error, ClientTimeoutError)
        why = "The agent did not respond in time" if late else f"The connection was lost ({error.detail})"
        message = f"{why}. {what} may still be running on the agent ({shown})."
        raise CliError(one_line(message), again, UNREACHABLE) from error


def _params(session: Session, given: Sequence[str] | None, file: str | None) -> dict[str, Any] | None:
    """The parameters from `-p` and from a file; None if there are none."""
    if not given and file is None:
        return None
    read = _reader(session)

    def parse() -> dict[str, Any]:
        source = "stdin" if file == parameters.STDIN else f"{file}"
        base = None if file is None else parameters.parse_object(read(file), source)
        return parameters.parse(given or [], read, base)

    return _parsed(parse)


def _parsed(parse: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return parse()
    except parameters.ParameterError as error:
        raise CliError(str(error)) from None


def _modules(session: Session, given: Sequence[str]) -> dict[str, str]:
    """Source code by module name."""
    read = _reader(session)
    modules = {}
    for text in given:
        name, _, file = text.partition("=")
        if not name or not file:
            raise CliError(f"Invalid --module {text!r}.", "Use NAME=FILE, such as plugin.train=train.py.")
        if name in modules:
            raise CliError(f"--module {name} is passed twice.", "Pass it once.")
        modules[name] = read(file)
    return modules


def _reader(session: Session) -> Callable[[str], str]:
    """Return a function that reads files and stdin."""

    def read(file: str) -> str:
        if file == parameters.STDIN:
            return session.stdin("- (a parameter)")
        try:
            return Path(file).expanduser().read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            why = (error.strerror if isinstance(error, OSError) else None) or error
            hint = "Quote a string that starts with @: '\"@text\"'."
            raise CliError(f"Cannot read file {file!r}: {why}.", hint) from None

    return read


def _show(session: Session, result: Any) -> None:
    """Print a result as JSON, or a string as is on a terminal."""
    if isinstance(result, str) and not session.output.is_json:
        session.output.line(result)
    else:
        session.output.json(result)
