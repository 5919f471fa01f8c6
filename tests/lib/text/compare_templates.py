#!/usr/bin/env python3
"""Compares lib/text's chat templates with Python's jinja2, byte for byte.

    compare_templates.py TEMPLATE_TOOL TEMPLATE_FOLDER [--transformers]

Every template of the folder is rendered on generated conversations until 200 were rendered, every snippet of
template_snippets.py on one context; both sides must give the same text, or both must fail. The marks of
message contents are checked against contents made of letters that no template uses.
jinja2 is set up as transformers' apply_chat_template does it; with --transformers, where that is installed,
transformers does it itself. Without jinja2 the test is skipped (77).
"""
import functools
import json
import subprocess
import sys
from datetime import date, datetime
from pathlib import Path

sys.dont_write_bytecode = True
try:
    import jinja2
    import jinja2.ext
    from jinja2.sandbox import ImmutableSandboxedEnvironment
except ImportError:
    print("jinja2 is not installed: skipped")
    sys.exit(77)

from template_conversations import MARKER_LETTERS, conversations, marker_conversations
from template_snippets import CONTEXT, REFUSED, SNIPPETS

RENDERED_PER_FAMILY = 200
MOST_PER_FAMILY = 2000  # of conversations tried: some templates refuse most
BATCH = 120
MARKER_CONVERSATIONS_PER_FAMILY = 40


class Generation(jinja2.ext.Extension):
    """{% generation %}, as transformers defines it when nobody asks where it was."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_render"), [], [], body).set_lineno(line)

    def _render(self, caller):
        return caller()


class TemplateDict:
    def __call__(self, *args, **kwargs):
        return dict(*args, **kwargs)

    def fromkeys(self, *args, **kwargs):
        return dict.fromkeys(*args, **kwargs)


class TemplateNamespace(jinja2.utils.Namespace):
    def __init__(*args, **kwargs):
        self, args = args[0], args[1:]
        attributes = dict(*args, **kwargs)
        for name in attributes:
            TemplateNamespace._check(name)
        jinja2.utils.Namespace.__init__(self, attributes)

    def __setitem__(self, name, value):
        TemplateNamespace._check(name)
        jinja2.utils.Namespace.__setitem__(self, name, value)

    @staticmethod
    def _check(name):
        if isinstance(name, str) and name.startswith("_"):
            raise jinja2.exceptions.SecurityError(name)


def environment():
    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                          sort_keys=sort_keys)

    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                        extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda format: datetime.now().strftime(format)
    env.globals["dict"] = TemplateDict()
    env.globals["namespace"] = TemplateNamespace
    return env


@functools.lru_cache(maxsize=1)
def compiled(env, source):
    return env.from_string(source)


def render_with_jinja2(env, source, context):
    """(text, None) or (None, what was wrong)."""
    try:
        text = compiled(env, source).render(**context)
        text.encode("utf-8")
        return text, None
    except Exception as error:  # whatever Python raises, the other side must fail too
        return None, f"{type(error).__name__}: {error}"


def render_with_tool(tool, requests):
    lines = "".join(json.dumps(request) + "\n" for request in requests)
    done = subprocess.run([tool], input=lines, capture_output=True, text=True, check=True,
                          encoding="utf-8")
    replies = done.stdout.split("\n")[:-1]
    if len(replies) != len(requests):
        sys.exit(f"{len(requests)} requests, {len(replies)} replies")
    return [json.loads(reply) for reply in replies]


def difference(expected, error, reply):
    """What is wrong with a reply, or None."""
    if expected is None:
        return None if "error" in reply else f"jinja2 fails ({error}), the tool does not"
    if "error" in reply:
        return f"the tool fails: {reply['error']}"
    if expected != reply["text"]:
        return "the texts differ"
    return None


def spans_of_markers(text):
    """Byte ranges of the runs of marker letters."""
    spans, offset, begin = [], 0, None
    for character in text + "\0":
        if character in MARKER_LETTERS:
            begin = offset if begin is None else begin
        elif begin is not None:
            spans.append([begin, offset])
            begin = None
        offset += len(character.encode("utf-8"))
    return spans


class Report:
    def __init__(self):
        self.compared = 0
        self.failed = 0

    def note(self, name, problem, request, expected, reply):
        self.compared += 1
        if problem is None:
            return
        self.failed += 1
        if self.failed > 20:
            return
        print(f"{name}: {problem}")
        print(f"  template {request['template'][:300]!r}")
        if self.failed <= 5:
            print(f"  context  {json.dumps(request['context'], ensure_ascii=False)[:1500]}")
        print(f"  expected {expected!r}")
        print(f"  found    {reply.get('text', reply.get('error'))!r} {reply.get('spans')}")


def compare_batch(env, tool, path, contexts, check_marks, report):
    """The number of conversations that were rendered."""
    source = path.read_text(encoding="utf-8")
    requests = [{"template": source, "context": context} for context in contexts]
    rendered = 0
    for request, reply in zip(requests, render_with_tool(tool, requests)):
        expected, error = render_with_jinja2(env, source, request["context"])
        problem = difference(expected, error, reply)
        if problem is None and expected is not None:
            rendered += 1
            if check_marks and spans_of_markers(expected) != reply["spans"]:
                problem = f"the marks should be {spans_of_markers(expected)}"
        report.note(path.name, problem, request, expected, reply)
    return rendered


def compare_family(env, tool, path, report):
    tried, rendered = 0, 0
    while rendered < RENDERED_PER_FAMILY and tried < MOST_PER_FAMILY:
        contexts = conversations(path.stem, range(tried, tried + BATCH))
        rendered += compare_batch(env, tool, path, contexts, False, report)
        tried += BATCH
    marked = marker_conversations(path.stem, MARKER_CONVERSATIONS_PER_FAMILY)
    marks = compare_batch(env, tool, path, marked, True, report)
    print(f"{path.name}: {rendered} of {tried} conversations rendered, {marks} of {len(marked)} for their marks")
    if rendered < RENDERED_PER_FAMILY:
        report.failed += 1
        print(f"{path.name}: too few conversations render to say anything")


def compare_snippets(env, tool, report):
    requests = [{"template": snippet, "context": CONTEXT} for snippet in SNIPPETS]
    for request, reply in zip(requests, render_with_tool(tool, requests)):
        expected, error = render_with_jinja2(env, request["template"], CONTEXT)
        report.note("snippet", difference(expected, error, reply), request, expected, reply)
    requests = [{"template": snippet, "context": CONTEXT} for snippet in REFUSED]
    for request, reply in zip(requests, render_with_tool(tool, requests)):
        problem = None if "not supported" in reply.get("error", "") else "should be refused"
        report.note("refused", problem, request, None, reply)
    print(f"{len(SNIPPETS)} snippets, {len(REFUSED)} refused constructs")


def environment_of_transformers():
    from transformers.utils.chat_template_utils import _compile_jinja_template
    return _compile_jinja_template("").environment


def compare(env, tool, families):
    report = Report()
    for path in families:
        compare_family(env, tool, path, report)
    compare_snippets(env, tool, report)
    print(f"{report.compared} renderings compared, {report.failed} differ")
    return report.failed


def main():
    tool, folder = sys.argv[1:3]
    env = environment_of_transformers() if "--transformers" in sys.argv[3:] else environment()
    families = sorted(Path(folder).glob("*.jinja"))
    if not families:
        sys.exit(f"{folder}: no templates")
    today = date.today()
    failed = compare(env, tool, families)
    if failed and date.today() != today:  # templates that print the date were rendered on both days
        failed = compare(env, tool, families)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
