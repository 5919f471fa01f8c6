"""Small templates for compare_templates.py, one construct each, all rendered on CONTEXT.

Both engines must give the same text for each of SNIPPETS, or both must fail. REFUSED holds what jinja2
renders and the library says it does not support.
"""

CONTEXT = {
    "s": "Hello, World", "u": "größe ΑΣ 日本語 🙂 e\u0301", "w": " \t padded \u00a0\n", "empty": "",
    "lines": "one\n\n  two\r\nthree\u2028four\n", "html": "<b>\"it's\" & more</b>", "num": "42", "neg": "-7",
    "flt": "3.75", "i": 7, "zero": 0, "n": -13, "f": 2.5, "big": 1e20, "small": 1.5e-7, "t": True, "no": False,
    "none_value": None, "l": [3, 1, 2], "mixed": [1, "a", None, 2.5, True, [1], {"k": "v"}],
    "names": ["bob", "Alice", "carol", "alice"], "words": ["b", "A", "c"],
    "d": {"b": 1, "a": [1, 2], "C": {"x": None}, "items": "key named items"},
    "users": [{"name": "Bob", "age": 30, "tags": ["x", "y"], "on": True},
              {"name": "alice", "age": 25, "tags": [], "on": False},
              {"name": "Carol", "age": 30, "address": {"city": "Köln"}}],
    "messages": [{"role": "system", "content": "sys"}, {"role": "user", "content": " hi "},
                 {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]},
                 {"role": "user", "content": "bye"}],
    "bos_token": "<s>", "add_generation_prompt": True,
    "later": "from the caller",
}


def each(form, *values):
    """One snippet for every value."""
    return [form.replace("@", value) for value in values]


VALUES = ("s", "u", "w", "empty", "i", "n", "f", "big", "small", "t", "none_value", "l", "mixed", "d",
          "missing", "range(3)", "(1,)", "()", "(1, 'a')", "{}", "[[], {}]", "1.0", "-0.0", "1e16", "1e15",
          "123456789.125", "0.1 + 0.2", "1e-5", "0.0001", "d.keys()", "d.values()", "d.items()",
          "namespace(a=1, b='x')", "'it\\'s'", "'\"'", "'\\'\"'", "'\\n\\t\\x00\\x7f\\xa0\\u200b\\U0001F600'",
          "['\\\\', '\\xe9']", "lines", "html", "9223372036854775807", "-9223372036854775807 - 1")

PRINTING = (
    each("{{ @ }}", *VALUES)
    + each("{{ [@] }}", *VALUES)
    + each("{{ @|string|length }}|{{ @|default('dflt') }}", *VALUES)
    + each("{{ @|tojson }}", *VALUES)
    + each("{% if @ %}yes{% else %}no{% endif %}", *VALUES)
    + each("{{ @|pprint }}", "s", "d", "mixed", "{'b': 1, 'a': 2}", "[1, 2]")
)

TESTED = ("s", "empty", "i", "f", "t", "none_value", "l", "d", "missing", "range(3)", "(1,)", "d.items()",
          "dict", "namespace()", "namespace", "l|map('string')", "s.upper", "'ABC'", "'abc'", "'Abc'", "'12'")
TEST_NAMES = ("defined", "undefined", "none", "string", "number", "integer", "float", "boolean", "mapping",
              "iterable", "sequence", "true", "false", "callable", "upper", "lower", "escaped")
TESTS = [f"{{{{ {value} is {name} }}}}{{{{ {value} is not {name} }}}}" for value in TESTED for name in TEST_NAMES
         if not (name in ("upper", "lower") and value in ("dict", "namespace", "s.upper", "l|map('string')"))]
TESTS += [
    "{{ 4 is even }}{{ 3 is even }}{{ 3 is odd }}{{ 4.0 is even }}{{ -3 is odd }}", "{{ 'a' is odd }}",
    "{{ missing is even }}", "{{ 9 is divisibleby 3 }}{{ 9 is divisibleby(4) }}", "{{ 9 is divisibleby 0 }}",
    "{{ 1 is eq 1.0 }}{{ 1 is equalto true }}{{ 1 is == 1 }}", "{{ 1 is ne 2 }}{{ 1 is lt 2 }}{{ 1 is le 1 }}",
    "{{ 2 is gt 1 }}{{ 2 is ge 3 }}{{ 2 is greaterthan 1 }}{{ 2 is lessthan 1 }}", "{{ 1 is in [1, 2] }}",
    "{{ 'a' is in 'abc' }}{{ 'a' is not in 'abc' }}", "{{ none is sameas none_value }}{{ 1 is sameas true }}",
    "{{ 'upper' is filter }}{{ 'urlize' is filter }}{{ 'nope' is filter }}{{ 'odd' is test }}{{ 'x' is test }}",
    "{{ 1 is nope }}", "{% if false %}{{ 1 is nope }}{% endif %}ok", "{{ 1 is odd is odd }}",
    "{{ i is defined and i is number or x is none }}", "{{ not i is odd }}", "{{ (i is odd) == true }}",
    "{{ missing.x is defined }}", "{{ d.missing is defined }}{{ d['missing'] is defined }}", "{{ d.update is defined }}",
    "{{ 'x' is string if t else 2 }}", "{{ l is iterable and l is not string and l is not mapping }}",
    "{{ i is divisibleby 7 and true }}", "{{ 5 is in(range(9)) }}", "{{ s is startingwith('H') }}",
]

OPERANDS = ("7", "-7", "2", "0", "2.5", "-2.5", "true", "'ab'", "[1, 2]", "(1,)", "none", "missing", "{'a': 1}")
OPERATORS = ("+", "-", "*", "/", "//", "%", "**", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or", "~")
OPERATIONS = [f"{{{{ {a} {op} {b} }}}}" for op in OPERATORS for a in OPERANDS for b in OPERANDS
              if not (op == "**" and a.startswith("-") and b.endswith(".5"))]
OPERATIONS += [
    "{{ 1 + 2 * 3 - 4 }}", "{{ (1 + 2) * 3 }}", "{{ 2 ** 3 ** 2 }}", "{{ -2 ** 2 }}", "{{ - - 2 }}{{ +2 }}",
    "{{ 'a' ~ 1 ~ none ~ 2.0 ~ [1] }}", "{{ 1 < 2 < 3 }}{{ 1 < 3 < 2 }}{{ 3 > 2 == 2 }}", "{{ 1 ~ 2 + 3 }}",
    "{{ 1 if 0 }}|{{ 1 if 0 else 2 if 0 else 3 }}", "{{ (1 if 0).x }}", "{{ not 1 }}{{ not not 1 }}{{ not [] == [] }}",
    "{{ 'a' 'b' \"c\" }}", "{{ 1 and 0 or 2 }}{{ '' or 'x' }}{{ 'a' and '' }}", "{{ -s }}", "{{ -missing }}",
    "{{ 'a' in missing }}", "{{ missing in 'abc' }}", "{{ 1 in 'abc' }}", "{{ 'x' in none }}", "{{ [1] in {} }}",
    "{{ 'b' in d }}{{ 'z' in d }}{{ 'b' in d.keys() }}{{ ('b', 1) in d.items() }}", "{{ 3 in l }}{{ 3.0 in l }}",
    "{{ [1, 2] < [1, 3] }}{{ (1,) < (1, 0) }}{{ 'a' < 'B' }}{{ 'é' > 'z' }}", "{{ [1] < ['a'] }}", "{{ [1] == (1,) }}",
    "{{ {'a': 1, 'b': 2} == {'b': 2, 'a': 1} }}", "{{ 1 == true }}{{ 0 == false }}{{ '1' == 1 }}{{ none == false }}",
    "{{ missing == missing2 }}{{ missing == none }}{{ missing != 1 }}", "{{ 7 // 2 }}{{ -7 // 2 }}{{ 7 // -2 }}{{ 7.5 // 2 }}",
    "{{ 7 % 3 }}{{ -7 % 3 }}{{ 7 % -3 }}{{ -7.5 % 2 }}{{ 7.5 % -2 }}", "{{ 1 / 3 }}{{ 4 / 2 }}{{ 1e308 * 10 }}",
    "{{ 2 ** -1 }}{{ 2 ** 0.5 }}{{ 4 ** 0.5 }}", "{{ 0 ** -1 }}", "{{ 'ab' * 3 }}{{ 2 * [1] }}{{ 'a' * -1 }}|",
    "{{ true + true }}{{ true * 3 }}{{ -true }}", "{{ 10 ** 18 }}{{ 1e3 }}{{ 1_000 }}{{ 0x1F }}{{ 0o17 }}{{ 0b11 }}",
    "{{ 00 }}", "{{ 1.5e3 }}{{ 1E-2 }}{{ 12_3.4_5 }}", "{{ 012 }}", "{{ .5 }}", "{{ 1. }}", "{{ i / zero }}",
    "{{ 9007199254740993 == 9007199254740992.0 }}", "{{ 9007199254740993 < 9007199254740993.0 }}",
]

ACCESS = [
    "{{ s[0] }}{{ s[-1] }}{{ s[99] }}|{{ s[true] }}", "{{ u[9] }}{{ u[-1] }}{{ u[3] }}", "{{ s[1:4] }}{{ s[:-2] }}{{ s[::2] }}",
    "{{ u[::-1] }}", "{{ u[10:2:-3] }}", "{{ s[5:2] }}|{{ s[-100:100] }}", "{{ l[::-1] }}{{ l[1:] }}{{ l[:1] }}{{ l[-2:] }}",
    "{{ (1, 2, 3)[1:] }}", "{{ l[0] }}{{ l[-3] }}{{ l[9] }}|{{ l['x'] }}|{{ l[0.0] }}|", "{{ l.0 }}{{ l.1 }}", "{{ l[::0] }}",
    "{{ none_value[1:] }}", "{{ d[1:] }}", "{{ missing[0] }}", "{{ missing.x }}", "{{ missing['x'] }}", "{{ none_value.x }}|{{ none_value['x'] }}",
    "{{ i.x }}|{{ i[0] }}|{{ f['a'] }}", "{{ d.b }}{{ d['b'] }}{{ d.C.x }}", "{{ d['items'] }}", "{{ d.items() }}", "{{ d.nope }}|{{ d['nope'] }}|",
    "{{ d.nope.x }}", "{{ d[[1]] }}|", "{{ d[none] }}|{{ {none: 1, 1: 2, (1, 2): 3}[(1, 2)] }}", "{{ {1: 'a', true: 'b', 1.0: 'c'} }}",
    "{{ {'a': 1, 'a': 2} }}", "{{ {[1]: 2} }}", "{{ d.get('b') }}{{ d.get('z') }}{{ d.get('z', 5) }}{{ d.get('z', default=5) }}",
    "{{ d.keys()|list }}{{ d.values()|list }}{{ d.items()|list }}", "{{ d.keys()[0] }}|", "{{ d.items()|length }}", "{{ d.copy() }}{{ l.copy() }}",
    "{{ d.update({'x': 1}) }}", "{{ d.pop('b') }}", "{{ d.pop }}|", "{{ l.append(4) }}", "{{ l.append }}|{{ l.sort is defined }}", "{{ l.index(2) }}{{ l.count(3) }}",
    "{{ l.index(9) }}", "{{ l.index(3, 1) }}", "{{ s.__class__ }}|{{ s.__class__.__mro__ }}", "{{ d.__class__ }}|", "{{ ''['__class__'] }}|", "{{ s.nope }}|{{ s.nope() }}",
    "{{ range(5)[1] }}{{ range(5)[-1] }}{{ range(5)[9] }}|", "{{ range(2, 8, 3)|list }}{{ range(5, 0, -2)|list }}{{ range(0)|list }}", "{{ range(1, 5, 0) }}",
    "{{ range(3) == range(0, 3) }}{{ range(3).start }}{{ range(3).stop }}{{ 2 in range(3) }}{{ range(3)|length }}", "{{ range(100000)|length }}", "{{ range(100001) }}", "{{ range('a') }}", "{{ range(1.0) }}",
    "{{ users[0].name }}{{ users[2].address.city }}{{ users[-1]['name'] }}", "{{ users[0].tags[1:][0] }}", "{{ messages[1:][0].content }}", "{{ messages[2].content }}",
    "{{ messages[2].tool_calls[0].function.arguments }}", "{{ messages[0]['role'] == 'system' }}", "{{ s.upper }}" if False else "{{ s.upper is callable }}",
    "{{ u[1:3] + u[-2:] }}", "{{ 'abc'[1:][0] }}", "{{ s [0] }}{{ l [1] }}", "{{ d . b }}", "{{ s[none:2] }}", "{{ s['a':] }}", "{{ l[missing:] }}",
]

METHODS = [
    "{{ s.@ }}".replace("@", call) for call in (
        "upper()", "lower()", "title()", "capitalize()", "swapcase()", "strip()", "strip('Hd')", "lstrip('He')", "rstrip('dl')",
        "strip(none)", "split()", "split(',')", "split(', ')", "split('l', 1)", "split('l', maxsplit=1)", "split(sep='o')", "split('')",
        "split(none, 1)", "rsplit('l', 1)", "rsplit()", "rsplit(none, 1)", "rsplit('o')", "startswith('Hell')", "startswith(('x', 'H'))",
        "startswith('ell', 1)", "startswith(1)", "endswith('ld')", "endswith('World', 0, 5)", "endswith(('a', 'd'))", "replace('l', 'L')",
        "replace('l', 'L', 1)", "replace('', '-')", "replace('zz', 'y')", "replace('l', '', 2)", "replace('l')", "replace(old='l', new='x')", "find('o')",
        "find('o', 5)", "find('zz')", "rfind('o')", "find('')", "find('', 99)", "index('W')", "index('zz')", "rindex('l')", "count('l')", "count('')",
        "count('o', 5)", "count('l', -5, -1)", "partition(', ')", "partition('zz')", "rpartition('o')", "rpartition('zz')", "partition('')", "join(['a', 'b'])",
        "join([1])", "join('abc')", "join(d)", "join([])", "center(20)", "center(21, '*')", "center(3)", "ljust(15)", "ljust(15, '.')", "rjust(15)", "rjust(15, 'xx')",
        "zfill(15)", "removeprefix('Hello')", "removesuffix('World')", "removeprefix('x')", "splitlines()", "isalpha()", "isdigit()", "isupper()", "islower()",
        "isspace()", "istitle()", "isalnum()", "isascii()", "isnumeric()", "isdecimal()", "isprintable()", "upper('x')", "format()", "nope()",
    )
]
METHODS += [
    "{{ u.@ }}".replace("@", call) for call in (
        "upper()", "lower()", "title()", "capitalize()", "swapcase()", "find('日')", "index('🙂')", "split(' ')", "rsplit(' ', 2)", "center(40, '→')",
        "replace('ö', 'oe')", "count(' ')", "isascii()", "ljust(30, 'é')", "partition('日本')", "rfind(' ')", "find(' ', 9, -2)", "startswith('本', 10)", "encode is defined",
    ) if "encode" not in call
]
METHODS += [
    "{{ w.strip()|length }}{{ w.lstrip()|length }}{{ w.rstrip()|length }}", "{{ w.split() }}", "{{ lines.splitlines() }}{{ lines.splitlines(true) }}", "{{ lines.split('\\n') }}",
    "{{ lines.rsplit(none, 2) }}", "{{ '  a  b '.split(none, 1) }}{{ '  a  b '.rsplit(none, 1) }}{{ '  a  b '.split(' ') }}", "{{ ''.split() }}{{ ''.split(',') }}",
    "{{ 'aXbXc'.rsplit('X', 1) }}{{ 'aXbXc'.rsplit('X', 0) }}", "{{ 'aaa'.replace('aa', 'b') }}{{ 'aaa'.count('aa') }}{{ 'aaaa'.rsplit('aa') }}",
    "{{ 'straße ŉ ﬁ İ ǅ'.upper() }}", "{{ 'ΑΣ ΣΑΣ. Σ İI'.lower() }}", "{{ 'ǆ ﬀ ß'.title() }}{{ 'ǆa'.capitalize() }}", "{{ \"they're bill's\".title() }}",
    "{{ '²³'.isdigit() }}{{ '²'.isdecimal() }}{{ '½'.isnumeric() }}{{ '٣'.isdecimal() }}", "{{ ''.isalpha() }}{{ ''.isprintable() }}{{ ''.isupper() }}", "{{ 'Abc Def'.istitle() }}{{ 'ABC'.istitle() }}",
    "{{ '-5'.zfill(5) }}{{ '+'.zfill(3) }}{{ 'é'.zfill(3) }}", "{{ '\\u2028 \\x1c'.isspace() }}{{ 'a\\u00a0'.strip()|length }}", "{{ 'abc'.strip('') }}{{ 'abcba'.strip('ab') }}",
    "{{ none_value.strip() }}", "{{ i.strip() }}", "{{ missing.strip() }}", "{{ 'a-b'.split('-')[0].upper().lower()[0] }}", "{{ ','.join(l|map('string')) }}", "{{ ', '.join(d.keys()) }}",
    "{{ '{} {}'.format(1, 'a') }}", "{{ '{0} {1} {0}'.format('a', 'b') }}", "{{ '{x} {y}'.format(x=1, y=[2]) }}", "{{ '{0.name} {1[k]} {2[0]}'.format(users[0], {'k': 5}, l) }}",
    "{{ '{:>5}|{:<5}|{:^5}|{:*^7}'.format('a', 'b', 'c', 'd') }}", "{{ '{:05d} {:+d} {:x} {:#x} {:b} {:o} {:X} {:,} {:_}'.format(42, 7, 255, 255, 5, 8, 255, 1234567, 12345) }}",
    "{{ '{:.2f} {:8.3f} {:e} {:g} {:%} {:.1%} {:+.1f}'.format(3.14159, 2.5, 12345.678, 0.0001, 0.5, 0.123, 1.0) }}", "{{ '{!r} {!s} {!a}'.format('é', 'é', 'é') }}",
    "{{ '{{}} {}'.format(1) }}", "{{ '{'.format(1) }}", "{{ '}'.format(1) }}", "{{ '{} {0}'.format(1, 2) }}", "{{ '{}'.format() }}", "{{ '{x}'.format() }}", "{{ '{:{}}|'.format('a', 5) }}", "{{ '{:{w}.{p}f}|'.format(2.5, w=8, p=3) }}",
    "{{ '{:d}'.format('a') }}", "{{ '{:s}'.format('a') }}{{ '{:5}|{:5}|'.format('a', 1) }}", "{{ '{:.2}'.format('abcdef') }}", "{{ '{}{}{}'.format(none, true, 1.0) }}", "{{ '{:5}'.format(none) }}", "{{ '{:5}|{:d}'.format(true, true) }}",
    "{{ '{a.x}|'.format(a={'y': 1}) }}", "{{ '{:c}'.format(65) }}", "{{ '{:,.2f}'.format(1234567.891) }}", "{{ '{:06.2f}'.format(-1.5) }}{{ '{:=+6d}'.format(5) }}{{ '{: d}'.format(5) }}", "{{ '{:.3d}'.format(3) }}", "{{ '{:010}'.format('ab') }}",
    "{{ '%s %s' % ('a', 1) }}{{ '%s' % 'b' }}{{ '%s' % none }}{{ '%s' % [1] }}", "{{ '%d %i %5d|%-5d|%05d' % (1, 2.9, 3, 4, 5) }}", "{{ '%f %.2f %8.3f %e %g %G' % (1.5, 2.345, 3.0, 1e10, 1e-5, 1e20) }}",
    "{{ '%x %X %o %#x %#o' % (255, 255, 8, 255, 8) }}", "{{ '%r %a' % ('é', 'é') }}", "{{ '%c%c' % ('a', 66) }}", "{{ '%%' % () }}{{ '100%%' % {} }}", "{{ '%(a)s %(b)d' % {'a': 'x', 'b': 2} }}", "{{ '%(a)s' % {'b': 1} }}",
    "{{ '%s' % (1, 2) }}", "{{ '%s %s' % 'a' }}", "{{ '%d' % 'a' }}", "{{ '%z' % 1 }}", "{{ '%' % 1 }}", "{{ '%*d|%-*d|' % (5, 1, 5, 2) }}", "{{ '%.3s|%10.2s|' % ('abcdef', 'xyz') }}", "{{ '%+d % d' % (5, 5) }}", "{{ '%.3d' % 5 }}{{ '%5.3d|' % 5 }}",
    "{{ '%s' % {'a': 1} }}", "{{ '%s' % () }}", "{{ 'x' % [1] }}{{ 'x' % {} }}", "{{ 'x' % 1 }}", "{{ '%5s|%-5s|' % ('é', 'é') }}", "{{ '%s' % missing }}|", "{{ '%d' % missing }}", "{{ '%x' % 1.5 }}", "{{ '%d' % true }}{{ '%s' % true }}", "{{ '%010.3f|%-10.1f|%+.1e' % (3.14159, 2.5, 12345) }}",
    "{{ '%5%' % () }}" if False else "{{ '%s' % 'ok' }}",
]

FILTERS = [
    "{{ s|upper }}{{ s|lower }}{{ s|title }}{{ s|capitalize }}", "{{ 'foo-bar (baz) [q] <x> {y}\\tz'|title }}", "{{ u|title }}{{ u|upper }}{{ u|capitalize }}", "{{ 12|upper }}{{ none|upper }}{{ missing|upper }}|",
    "{{ w|trim }}|{{ 'xxaxx'|trim('x') }}|{{ 12|trim }}|{{ none|trim }}", "{{ s|trim(none) }}", "{{ s|length }}{{ u|length }}{{ l|count }}{{ d|length }}{{ missing|length }}{{ range(5)|length }}", "{{ i|length }}", "{{ none_value|length }}",
    "{{ l|map('string')|length }}", "{{ l|join }}{{ l|join(', ') }}{{ mixed|join('|') }}", "{{ users|join(', ', attribute='name') }}", "{{ users|join(',', 'age') }}", "{{ 'abc'|join('-') }}{{ d|join(',') }}{{ missing|join(',') }}|", "{{ i|join }}", "{{ l|join(none) }}{{ l|join(1) }}",
    "{{ l|first }}{{ l|last }}{{ s|first }}{{ s|last }}{{ d|first }}{{ d|last }}", "{{ []|first }}|{{ []|last }}|{{ missing|first }}|{{ missing|last }}|", "{{ l|map('string')|first }}", "{{ l|map('string')|last }}", "{{ i|first }}", "{{ range(3)|last }}{{ u|last }}",
    "{{ missing|default('x') }}{{ none_value|default('x') }}{{ ''|default('x') }}{{ ''|default('x', true) }}{{ none|d('y', boolean=true) }}{{ missing|d }}|", "{{ d.zz|default(l|first) }}", "{{ missing.x|default('y') }}", "{{ missing|default(default_value='q') }}",
    "{{ s|replace('l', 'L') }}{{ s|replace('l', 'L', 1) }}{{ s|replace('o', '') }}{{ 11|replace(1, 2) }}{{ none|replace('N', 'n') }}", "{{ s|replace('', '.') }}{{ s|replace('', '.', 3) }}{{ s|replace('l') }}", "{{ s|replace('l', 'L', count=1) }}{{ s|replace(old='l', new='1') }}",
    "{{ 'abc'|list }}{{ d|list }}{{ missing|list }}{{ u|list }}", "{{ none_value|list }}", "{{ 5|list }}", "{{ l|map('string')|list }}{{ names|map('upper')|list }}", "{{ users|map(attribute='name')|list }}", "{{ users|map(attribute='address.city', default='?')|list }}", "{{ users|map(attribute='nope')|list }}",
    "{{ users|map(attribute='tags.0')|list }}", "{{ users|map(attribute='address.city')|list }}", "{{ [[1, 2], [3, 4]]|map('first')|list }}{{ [[1, 2], [3]]|map(attribute=0)|list }}", "{{ l|map('nope')|list }}", "{{ l|map|list }}", "{{ none_value|map('upper')|list }}{{ 0|map('x')|list }}", "{{ 5|map('upper')|list }}", "{% set x = 5|map('upper') %}ok",
    "{{ names|map('replace', 'a', 'A')|join(' ') }}{{ l|map('default', 5)|list }}{{ words|map('center', width=5)|list }}", "{{ l|map('string')|map('upper')|join }}", "{% set g = l|map('string') %}{{ g|list }}{{ g|list }}", "{{ users|map(attribute='name', nope=1)|list }}", "{{ l|map('round', 1, method='ceil')|list }}",
    "{{ [0, 1, '', 'a', none]|select|list }}{{ [0, 1, '', 'a']|reject|list }}", "{{ range(9)|select('odd')|list }}{{ range(9)|reject('odd')|list }}{{ range(9)|select('divisibleby', 3)|list }}{{ l|select('>', 1)|list }}{{ l|select('in', [1, 2])|list }}", "{{ l|select('nope')|list }}", "{{ none|select|list }}{{ 5|select|list }}",
    "{{ users|selectattr('on')|map(attribute='name')|list }}{{ users|rejectattr('on')|map(attribute='name')|list }}", "{{ users|selectattr('age', 'equalto', 30)|map(attribute='name')|join(',') }}{{ users|selectattr('address', 'defined')|list|length }}{{ users|rejectattr('address.city', 'defined')|list }}", "{{ users|selectattr('address.city')|list }}", "{{ users|selectattr|list }}",
    "{{ messages|selectattr('role', 'equalto', 'user')|list|length }}{{ messages|rejectattr('role', '==', 'system')|first }}", "{{ (messages|selectattr('role', 'eq', 'user')|list)[-1].content }}", "{% if messages|selectattr('tool_calls', 'defined')|list %}has{% endif %}", "{{ messages|selectattr('role', 'in', ['user', 'system'])|map(attribute='content')|list }}",
    "{{ d|items|list }}{{ missing|items|list }}", "{{ l|items|list }}", "{% for k, v in d|items %}{{ k }}={{ v }};{% endfor %}", "{{ {'b': 1, 'A': 2, 'c': 0}|dictsort }}{{ {'b': 1, 'A': 2}|dictsort(true) }}{{ {'b': 1, 'A': 2}|dictsort(by='value') }}{{ {'b': 1, 'a': 2}|dictsort(reverse=true) }}", "{{ d|dictsort(by='x') }}", "{{ l|dictsort }}", "{{ {1: 2, 'a': 3}|dictsort }}",
    "{{ l|sort }}{{ l|sort(reverse=true) }}{{ l|sort(true) }}{{ words|sort }}{{ words|sort(case_sensitive=true) }}{{ names|sort }}", "{{ users|sort(attribute='age')|map(attribute='name')|list }}{{ users|sort(attribute='age,name')|map(attribute='name')|list }}{{ users|sort(attribute='age', reverse=true)|map(attribute='name')|list }}", "{{ mixed|sort }}", "{{ [1]|sort }}{{ ['a', 1][:1]|sort }}{{ 'hello'|sort }}{{ d|sort }}", "{{ users|sort }}", "{{ users|sort(attribute='nope') }}", "{{ [(1, 'b'), (1, 'a')]|sort }}",
    "{{ names|unique|list }}{{ names|unique(true)|list }}{{ users|unique(attribute='age')|map(attribute='name')|list }}{{ [1, 1.0, true, '1']|unique|list }}", "{{ [[1]]|unique|list }}", "{{ names|unique|length }}", "{{ l|reverse|list }}{{ s|reverse }}{{ u|reverse }}{{ d|reverse|list }}{{ range(3)|reverse|list }}{{ missing|reverse|list }}", "{{ l|map('string')|reverse }}", "{{ 5|reverse }}", "{{ none_value|reverse }}",
    "{{ l|min }}{{ l|max }}{{ names|min }}{{ names|max }}{{ names|max(case_sensitive=true) }}{{ users|max(attribute='age') }}{{ users|min(attribute='name') }}", "{{ []|min }}|{{ []|max }}|", "{{ mixed|max }}", "{{ [2, 2.0, 1]|max }}{{ [1.0, 1]|min }}", "{{ l|sum }}{{ l|sum(start=10) }}{{ users|sum(attribute='age') }}{{ [0.1, 0.2]|sum }}{{ []|sum }}{{ [[1], [2]]|sum(start=[]) }}", "{{ ['a']|sum }}", "{{ ['a']|sum(start='') }}",
    "{{ range(7)|batch(3)|list }}{{ range(7)|batch(3, 'x')|list }}{{ range(6)|batch(3)|list }}{{ []|batch(2)|list }}", "{{ range(7)|slice(3)|list }}{{ range(7)|slice(3, 'x')|list }}{{ range(2)|slice(3)|list }}{{ range(6)|slice(3, 'x')|list }}", "{{ l|slice(0)|list }}", "{{ l|slice(-1)|list }}", "{{ l|batch(0)|list }}",
    "{% for g in users|groupby('age') %}{{ g.grouper }}:{{ g.list|map(attribute='name')|join(',') }};{% endfor %}", "{% for age, group in users|groupby('age') %}{{ age }}={{ group|length }};{% endfor %}{{ users|groupby('on', default=false)|length }}", "{{ users|groupby('on') }}", "{{ names|groupby(0)|list }}", "{{ [{'c': 'CA'}, {'c': 'ny'}, {'c': 'ca'}]|groupby('c') }}{{ [{'c': 'CA'}, {'c': 'ca'}]|groupby('c', case_sensitive=true) }}",
    "{{ num|int + 1 }}{{ flt|int }}{{ 'x'|int }}{{ 'x'|int(5) }}{{ '0x1A'|int(base=16) }}{{ '1010'|int(0, 2) }}{{ ' 12 '|int }}{{ '1_000'|int }}{{ 3.99|int }}{{ -3.99|int }}{{ true|int }}{{ none|int }}{{ []|int(7) }}", "{{ '1e3'|int }}{{ 'inf'|int }}{{ 'nan'|int }}{{ '-12'|int }}{{ '+5'|int }}{{ '--5'|int }}{{ ''|int }}{{ '12abc'|int }}{{ '0b11'|int(0, 0) }}{{ '1__0'|int }}{{ '_1'|int }}", "{{ missing|int }}", "{{ missing|float }}",
    "{{ num|float }}{{ flt|float }}{{ 'x'|float }}{{ 'x'|float(1.5) }}{{ '1e5'|float }}{{ 'inf'|float }}{{ '-Infinity'|float }}{{ 'nan'|float }}{{ 7|float }}{{ none|float }}{{ ' 2.5 '|float }}{{ '1_0.5'|float }}{{ '.5'|float }}{{ '5.'|float }}{{ '+.5e-3'|float }}{{ '0x10'|float }}{{ 'e5'|float }}", "{{ (-5)|abs }}{{ 5.5|abs }}{{ -2.5|abs }}{{ true|abs }}", "{{ 'a'|abs }}", "{{ missing|abs }}",
    "{{ 2.5|round }}{{ 3.5|round }}{{ 2.675|round(2) }}{{ 42.55|round(1, 'floor') }}{{ 42.51|round(1, 'ceil') }}{{ -2.5|round }}{{ 7|round }}{{ 1234|round(-2) }}{{ 1250|round(-2) }}{{ 1234.5|round(-2) }}{{ 2|round(1, 'ceil') }}{{ 0.5|round|int }}", "{{ 'a'|round }}", "{{ 1.5|round(method='x') }}", "{{ 1.5|round(method='ceil') }}{{ 7|round(-1, 'floor') }}{{ true|round }}",
    "{{ html|e }}{{ html|escape }}{{ html|forceescape }}{{ 5|e }}{{ none|e }}", "{{ html|e|e }}{{ html|e|forceescape }}{{ html|safe }}{{ html|safe|e }}", "{{ html|e + '<' }}{{ '<' + html|e }}{{ html|e ~ '<' }}{{ (html|safe) * 2 }}", "{{ (html|e)|upper }}{{ ('<a>'|safe + '<b>')|length }}", "{{ ('<%s>'|safe) % '<x>' }}{{ ('<{}>'|safe).format('<y>') }}", "{{ ('-'|safe).join(['<', '>']) }}{{ ('a<b'|safe).replace('<', '<<') }}", "{{ ['<a>'|safe] }}{{ ('x'|safe) is escaped }}", "{{ ('a b'|safe).split(' ') }}{{ ('<a>'|e)|tojson }}",
    "{{ lines|indent }}", "{{ lines|indent(2) }}|{{ lines|indent(2, true) }}|{{ lines|indent(2, blank=true) }}|{{ lines|indent('> ', first=true, blank=true) }}|", "{{ ''|indent }}|{{ 'a'|indent(width=3, first=true) }}|{{ '\\n'|indent(2, true, true) }}|", "{{ 5|indent }}", "{{ missing|indent }}",
    "{{ 'foo bar baz qux'|truncate(9) }}{{ 'foo bar baz qux'|truncate(9, true) }}{{ 'foo bar baz qux'|truncate(11) }}{{ 'foo bar baz qux'|truncate(11, false, '...', 0) }}{{ u|truncate(8, true, '…', 0) }}", "{{ s|truncate(2) }}", "{{ s|truncate(5, leeway=0) }}{{ s|truncate(5, true, '', 0) }}{{ 'abcdefghij'|truncate(5, false, '', 0) }}",
    "{{ s|center(20) }}|{{ s|center(21) }}|{{ u|center(30) }}|{{ 1|center(4) }}|", "{{ s|wordcount }}{{ u|wordcount }}{{ \"it's a-b c_d\"|wordcount }}{{ ''|wordcount }}", "{{ '%s-%s'|format('a', 1) }}{{ '%(x)s'|format(x=5) }}{{ '%d%%'|format(5) }}{{ 'x'|format }}", "{{ '%s'|format(1, x=2) }}", "{{ 'x'|format(1) }}", "{{ 5|format }}",
    "{{ 'a b/c?d=é&~'|urlencode }}{{ {'a b': 'c/d', 'é': 1}|urlencode }}{{ [('x', 'y z')]|urlencode }}{{ 5|urlencode }}", "{{ ['a']|urlencode }}", "{{ s|string }}{{ 5|string + 'a' }}{{ none|string }}{{ missing|string }}|{{ [1]|string|length }}", "{{ d|attr('keys') is callable }}{{ d|attr('b') }}|{{ d|attr('nope') }}|{{ s|attr('upper')() }}",
    "{{ s|nope }}", "{% if false %}{{ s|nope }}{% endif %}ok", "{% if true %}{{ s|nope }}{% endif %}ok", "{{ 1 if true else s|nope }}", "{{ s|nope if false else 2 }}", "{% if false %}{% for x in l %}{{ x|nope }}{% endfor %}{% endif %}", "{% if false %}{% for x in l|nope %}{% endfor %}{% endif %}ok", "{% macro m() %}{{ 1|nope }}{% endmacro %}",
    "{{ s|upper() }}{{ s|upper(1) }}", "{{ s | trim | upper | replace('H', 'h') }}", "{{ s|upper|lower|length + 1 }}", "{{ -1|abs }}{{ (-1)|abs }}{{ 2 ** 3|string|length }}", "{{ s|join|first }}", "{{ s|truncate(length=8, killwords=true, end='!', leeway=0) }}", "{{ l|first|string ~ 'x' }}", "{{ s|replace(*['l', 'L']) }}{{ s|replace(**{'old': 'l', 'new': 'x'}) }}",
]

JSON = [
    "{{ {'a': [1, 2.0, none, true], 'b': 'x\"y\\n', 'c': {}}|tojson }}", "{{ d|tojson(indent=2) }}", "{{ d|tojson(indent=4, sort_keys=true) }}", "{{ {'b': 1, 'a': 2}|tojson(sort_keys=true) }}", "{{ u|tojson }}{{ u|tojson(ensure_ascii=true) }}", "{{ '\\x00\\x1f\\x7f\\u2028<>&'|tojson }}",
    "{{ [1, [], {}, [[]]]|tojson(indent=1) }}", "{{ [1, 2]|tojson(separators=(',', ':')) }}{{ {'a': 1}|tojson(separators=(',', ':')) }}", "{{ [1, {'a': 2}]|tojson(indent=2, separators=(';', '=')) }}", "{{ [1]|tojson(indent='\\t') }}{{ [1]|tojson(indent=0) }}{{ [1]|tojson(indent=none) }}", "{{ missing|tojson }}", "{{ [missing]|tojson }}", "{{ range(3)|tojson }}",
    "{{ (1, 2)|tojson }}{{ {1: 2, none: 3, true: 4, 1.5: 6}|tojson }}", "{{ {(1, 2): 3}|tojson }}", "{{ 1e20|tojson }}{{ 1.0|tojson }}{{ 1e308 * 10 }}{{ (1e308 * 10)|tojson }}{{ (1e308 * 10 - 1e308 * 10)|tojson }}", "{{ d.items()|tojson }}", "{{ d.items()|list|tojson }}", "{{ '🙂é'|tojson(true) }}", "{{ {'b': 1, 1: 2}|tojson(sort_keys=true) }}", "{{ namespace(a=1)|tojson }}", "{{ messages|tojson }}",
    "{{ messages[2].tool_calls|map(attribute='function')|list|tojson }}", "{{ [1]|tojson(indent=-1) }}{{ [1]|tojson(indent=true) }}", "{{ s|tojson|tojson }}", "{{ {'x': s}|tojson|length }}", "{{ s|tojson(nope=1) }}",
]

STATEMENTS = [
    "{% set x = 1 %}{{ x }}{% set x = x + 1 %}{{ x }}", "{% set a, b = 1, 2 %}{{ a }}{{ b }}", "{% set a, b = b, a %}{{ a }}|{{ b }}", "{% set a, b = [1] %}", "{% set a, b = 'xy' %}{{ b }}{{ a }}", "{% set (a, b) = (1, 2) %}{{ a + b }}", "{% set a = 1, 2 %}{{ a }}", "{% set a = (1) %}{{ a }}", "{% set a, b = 5 %}", "{% set a, b = {'x': 1, 'y': 2} %}{{ a }}{{ b }}",
    "{% set x %}a{{ s }}b{% endset %}[{{ x }}]", "{% set x | upper %}abc{% endset %}{{ x }}", "{% set x | replace('a', 'b') | trim %} aa {% endset %}{{ x }}|", "{% set ns = namespace(n=0) %}{% for x in l %}{% set ns.n = ns.n + x %}{% endfor %}{{ ns.n }}", "{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a }}{{ ns['b'] }}{{ ns.c }}|{{ ns }}", "{% set ns.x = 1 %}", "{% set d.x = 1 %}", "{% set ns = namespace() %}{% set ns.__x = 1 %}", "{{ namespace(_x=1) }}", "{% set ns = namespace() %}{% set ns.a, ns.b = 1, 2 %}{{ ns.a }}{{ ns.b }}",
    "{% set ns = namespace() %}{% set ns.x %}cap{% endset %}{{ ns.x }}", "{% set x = [] %}{% set x = x + [1] %}{% set x = x + [2] %}{{ x }}", "{% set true = 1 %}", "{% set none = 1 %}", "{% set 1 = 1 %}", "{% set s.x.y = 1 %}", "{% set %}", "{% set x %}", "{% set x = %}",
    "{% if i > 5 %}a{% elif i > 3 %}b{% else %}c{% endif %}", "{% if missing %}a{% elif none_value %}b{% elif 0 %}c{% else %}d{% endif %}", "{% if not missing is defined %}x{% endif %}", "{% if i == 7 and s == 'Hello, World' or missing.x %}y{% endif %}", "{% if 1 %}{% set y = 1 %}{% endif %}{{ y }}", "{% if 0 %}{% set y = 1 %}{% endif %}{{ y }}|", "{% if (1) %}a{% endif %}{% if 1: %}b{% endif %}", "{% if 1, %}tuple{% endif %}", "{% if %}{% endif %}", "{% if 1 %}a{% else %}b{% else %}c{% endif %}", "{% if 1 %}a{% elif %}b{% endif %}",
    "{% for x in l %}{{ x }},{% endfor %}", "{% for x in [] %}a{% else %}empty{% endfor %}", "{% for x in missing %}a{% else %}empty{% endfor %}", "{% for x in none_value %}a{% endfor %}", "{% for x in 5 %}a{% endfor %}", "{% for c in u %}[{{ c }}]{% endfor %}", "{% for k in d %}{{ k }};{% endfor %}", "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", "{% for a, b in [(1, 2), [3, 4], 'xy'] %}{{ a }}{{ b }};{% endfor %}", "{% for a, b in [1] %}{% endfor %}", "{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}", "{% for a, b in [(1, 2, 3)] %}{% endfor %}", "{% for x, in [[1], [2]] %}{{ x }}{% endfor %}",
    "{% for x in l if x > 1 %}{{ loop.index }}{{ x }}/{{ loop.length }};{% endfor %}", "{% for x in l if x > 9 %}{% else %}none{% endfor %}", "{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }};{% endfor %}", "{% for x in l %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }};{% endfor %}", "{% for x in l %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }}{{ loop.previtem.x }}{% endfor %}",
    "{% for x in l %}{{ loop.cycle('a', 'b') }}{% endfor %}", "{% for x in l %}{{ loop.cycle() }}{% endfor %}", "{% for x in [1, 1, 2, 2, 1] %}{{ loop.changed(x) }}{% endfor %}{% for x in [1, 1] %}{{ loop.changed() }}{{ loop.changed(x, 2) }}{% endfor %}", "{% for x in l|map('string') %}{{ x }}{{ loop.length }}{{ loop.last }};{% endfor %}", "{% for x in l|map('string') %}{{ loop.last }}{{ loop.nextitem }}{{ loop.revindex }};{% endfor %}", "{% for x in l %}{% for y in [1, 2] %}{{ loop.index }}{% endfor %}{{ loop.index }};{% endfor %}", "{% for x in l %}{% set outer = loop %}{% for y in [1, 2] %}{{ outer.index }}{{ loop.index }}{% endfor %}{% endfor %}", "{{ loop }}|{{ loop.index }}", "{% for x in l %}{% endfor %}{{ loop is defined }}{{ x }}|", "{% for x in l %}{{ loop.nope }}|{{ loop.nope is defined }}{% endfor %}",
    "{% for x in l %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% endfor %}", "{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}", "{% for x in l %}{% break %}{% else %}e{% endfor %}|", "{% for x in l %}{% for y in l %}{% if y == 1 %}{% break %}{% endif %}{{ y }}{% endfor %}-{% endfor %}", "{% break %}", "{% continue %}", "{% for x in l %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}", "{% for x in l %}{% set y %}{{ x }}{% break %}{% endset %}{{ y }}{% endfor %}|", "{% for x in [] %}{% else %}{% break %}{% endfor %}", "{% for x in [1, 2] %}{{ x }}{% for y in [] %}{% else %}{% break %}{% endfor %}{% endfor %}", "{% for x in l %}{% generation %}{% break %}{% endgeneration %}{% endfor %}",
    "{% set x = 0 %}{% for y in l %}{% set x = x + y %}{{ x }};{% endfor %}{{ x }}", "{% for y in l %}{{ x }}{% set x = y %}{{ x }};{% endfor %}{{ x }}|", "{% set x = 1 %}{% for y in l %}{% if y == 1 %}{% set x = 5 %}{% endif %}{{ x }}{% endfor %}{{ x }}", "{% for loop in l %}{% endfor %}", "{% for x in l %}{% set loop = 1 %}{% endfor %}", "{% for x in l %}{% for y in l %}{% set loop = 1 %}{% endfor %}{% endfor %}", "{% set loop = 5 %}{{ loop }}", "{% for x in range(3) %}{{ x }}{% endfor %}{% for x in range(3, 0, -1) %}{{ x }}{% endfor %}", "{% for x in (1, 2) %}{{ x }}{% endfor %}{% for x in 1, 2, 3 %}{{ x }}{% endfor %}", "{% for x in l: %}{{ x }}{% endfor %}", "{% for x in l if x if y %}{% endfor %}", "{% for x in l if x is odd and x < 9 %}{{ x }}{% endfor %}", "{% for x in (l if t else []) %}{{ x }}{% endfor %}", "{% for x in l[::-1] %}{{ x }}{% endfor %}{% for m in messages[1:] %}{{ m.role }}{{ loop.index0 }}{% endfor %}",
    "{% for x in l %}{{ later }}{% endfor %}{% set later = 1 %}{{ later }}", "{{ later }}{% for x in [1] %}{{ later }}{% endfor %}{% set later = 1 %}{{ later }}", "{% macro m() %}{{ later }}{% endmacro %}{{ m() }}{% set later = 2 %}{{ m() }}", "{% if 1 %}{% set later = 3 %}{% endif %}{% for x in [1] %}{{ later }}{% endfor %}", "{% for x in [1] %}{{ later }}{% endfor %}{% if 1 %}{% set later = 3 %}{% endif %}{{ later }}", "{% for x in [1] %}{% for y in [1] %}{{ later }}{% endfor %}{% set later = 4 %}{% endfor %}{{ later }}", "{% set ns = namespace(x=true) %}{% for m in l if ns.x %}{{ m }}{% set ns.x = false %}{% endfor %}", "{% for x in l if loop is defined %}{{ x }}{% else %}no loop{% endfor %}", "{% for x in l %}{% for y in [1] if loop.index == 2 %}{{ x }}{% endfor %}{% endfor %}",
    "{% macro m(a, b=2) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(b=5, a=4) }}{{ m() }}|", "{% macro m(a) %}{{ a is defined }}{% endmacro %}{{ m() }}{{ m(none) }}", "{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}", "{% macro m(a) %}{% endmacro %}{{ m(x=1) }}", "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}", "{% macro m(a, b=a) %}{{ b }}{% endmacro %}{{ m(5) }}", "{% macro m(a, b=later) %}{{ b }}{% endmacro %}{{ m(5) }}", "{% macro m(x) %}{% if x > 0 %}{{ x }}{{ m(x - 1) }}{% endif %}{% endmacro %}{{ m(5) }}", "{% macro m(a=1, b) %}{% endmacro %}", "{% macro m(a, a) %}{% endmacro %}" if False else "{{ 1 }}", "{% set z = 9 %}{% macro m() %}{{ z }}{% set z = 10 %}{{ z }}{% endmacro %}{{ m() }}{{ z }}", "{% macro m() %}{{ q }}{% endmacro %}{% set q = 1 %}{{ m() }}{% set q = 2 %}{{ m() }}", "{% macro outer() %}{% macro inner(x) %}<{{ x }}>{% endmacro %}{{ inner(1) }}{% endmacro %}{{ outer() }}{{ inner is defined }}", "{% macro m() %} x {% endmacro %}[{{ m()|trim }}]{{ m()|length }}{{ m() is string }}", "{{ m }}{% macro m() %}{% endmacro %}", "{{ m() }}{% macro m() %}1{% endmacro %}", "{% macro m(x, y='d') %}{% endmacro %}{{ m.name }}{{ m.arguments }}{{ m.catch_kwargs }}{{ m.catch_varargs }}{{ m.caller }}", "{% if true %}{% macro m() %}in if{% endmacro %}{% endif %}{{ m() }}", "{% for x in l %}{% macro m() %}{{ x }}{% endmacro %}{{ m() }}{% endfor %}",
    "{% macro m() %}[{{ caller() }}]{% endmacro %}{% call m() %}body{{ s }}{% endcall %}", "{% macro m() %}{{ caller(1, 2) }}{% endmacro %}{% call(a, b) m() %}{{ a }}+{{ b }}{% endcall %}", "{% macro m() %}{{ caller is defined }}{% endmacro %}{{ m() }}", "{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}", "{% macro m() %}x{% endmacro %}{% call m() %}y{% endcall %}", "{% macro m(caller=none) %}{{ caller() if caller }}{% endmacro %}{{ m() }}|{% call m() %}z{% endcall %}", "{% macro m(caller) %}{{ caller() }}{% endmacro %}", "{% call s %}{% endcall %}", "{% macro m(x) %}{{ x }}{{ caller(x) }}{% endmacro %}{% for i in l %}{% call(v) m(i) %}<{{ v }}{{ i }}>{% endcall %}{% endfor %}",
    "{% filter upper %}abc {{ s }}{% endfilter %}", "{% filter replace('a', 'b')|trim %} aaa {% endfilter %}|", "{% filter indent(2, first=true) %}a\nb\n{% endfilter %}|", "{% filter nope %}{% endfilter %}", "{% filter upper %}{% set inner = 1 %}{% endfilter %}{{ inner }}|", "{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a }}|", "{% with %}{% set q = 1 %}{{ q }}{% endwith %}{{ q }}|", "{% set a = 1 %}{% with a = 2, b = a %}{{ a }}{{ b }}{% endwith %}{{ a }}", "{% print 1, s, 'x' %}", "{% generation %}a{{ s }}{% endgeneration %}", "{% generation %}{% set g = 1 %}{{ g }}{% endgeneration %}{{ g }}|", "{% for x in l %}{% generation %}{{ x }}{{ loop.index }}{% endgeneration %}{% endfor %}",
    "{{ raise_exception('x') }}", "{% if false %}{{ raise_exception('x') }}{% endif %}ok", "{{ raise_exception() }}", "{{ dict.fromkeys('ab', 1) }}{{ d.fromkeys([1, 2, 1]) }}", "{{ dict.fromkeys([[]]) }}", "{{ dict.fromkeys(5) }}", "{{ dict.fromkeys() }}", "{{ dict.fromkeys('ab', value=1) }}", "{{ dict.fromkeys(messages|map(attribute='role'))|list|join(',') }}", "{{ dict.get }}|{{ namespace.fromkeys }}|{{ dict is mapping }}",
    "{{ strftime_now('%d %b %Y|%-d|%B %d, %Y|%Y-%m-%d|%A %a %j %U %W %w %u %V %G %y %C %e %D %F|%x') }}", "{{ strftime_now('<%Z|%z|%%Z|%%z|%%%z>') }}", "{{ strftime_now('%f')|length }}{{ strftime_now('%%f') }}", "{{ strftime_now('größe %Y %') }}", "{{ strftime_now('%p %n%t|%Q|%E') }}", "{{ '%04d-%02d' % (strftime_now('%Y')|int, [strftime_now('%d')|int - 1, 1]|max) }}",
    "{{ strftime_now('%Y') }}", "{{ strftime_now('') }}|{{ strftime_now('%%') }}", "{{ strftime_now(5) }}", "{{ dict(a=1, b=2) }}{{ dict({'x': 1}, y=2) }}{{ dict([('k', 'v')]) }}{{ dict() }}", "{{ dict(1) }}", "{{ dict([1]) }}", "{{ cycler('a', 'b').next() }}{% set c = cycler(1, 2) %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.reset() }}{{ c.current }}", "{{ cycler() }}", "{% set j = joiner(', ') %}{{ j() }}a{{ j() }}b{{ j() }}c", "{{ nope() }}", "{{ s() }}", "{{ none() }}", "{{ d.nope() }}", "{{ s.upper(**{}) }}{{ s.split(*[',']) }}{{ s.split(*[','], **{'maxsplit': 1}) }}", "{{ f(1, x=2, 3) }}", "{{ dict(a=1, a=2) }}", "{{ dict(**{'a': 1}, **{'b': 2}) }}",
    "{% for m in messages %}{% if m.role == 'user' %}U:{{ m.content|trim }}{% elif m.role == 'assistant' and m.tool_calls is defined %}T:{% for c in m.tool_calls %}{{ c.function.name }}{{ c.function.arguments|tojson }}{% endfor %}{% else %}{{ m['content'] }}{% endif %}\n{% endfor %}", "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set sys = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% endif %}{{ loop_messages|length }}{{ sys }}",
    "{% extends_not %}", "{% endif %}", "{% else %}", "{% if 1 %}", "{% for x in l %}", "{{ ", "{{ }}", "{% %}", "{{ 1 2 }}", "{{ (1 }}", "{{ [1 }}", "{{ {1} }}", "{{ {'a' 1} }}", "{{ 1 + }}", "{{ 'abc }}", "{{ a. }}", "{{ a.1b }}", "{{ a[ }}", "{{ f(1 }}", "{{ $ }}", "{{ a ! b }}", "{{ 1 if }}", "{{ not }}", "{{ x is }}", "{{ x | }}", "{{ a b }}", "}}", "%}", "#}", "{# open", "{% raw %}open", "{{ a ? b : c }}", "{{ a && b }}", "{{ a = 1 }}", "{% set x == 1 %}", "{{ [1, 2,] }}{{ (1, 2,) }}{{ {'a': 1,} }}{{ dict(a=1,) }}", "{{ [,] }}", "{{ (,) }}", "{% if 1 %}{% endfor %}", "{% macro %}{% endmacro %}", "{% macro m %}{% endmacro %}", "{{ 1, 2 }}{{ 1, }}",
]

WHITESPACE = [
    "a\n{% if 1 %}\nb\n{% endif %}\nc\n", "a\n  {% if 1 %}  \n  b\n  {% endif %}\n  c\n", "a {%- if 1 -%} b {%- endif -%} c", "a\n  {%+ if 1 %}\nb{%+ endif %}", "a {%- if 1 +%}\nb\n{%- endif +%}\nc", "  {{ s }}  \n  {{- s -}}  \n x", "{{ s }}\n", "{{ s }}\n\n", "a\r\nb\rc\n", "\n{% set x = 1 %}\n{{ x }}\n", "a {# comment #} b\n{# line #}\nc\n  {#- trim -#}  \nd {#+ keep +#}\ne",
    "{% raw %}{{ x }}{% if %}{% endraw %}", "a\n  {% raw %}\n  {{ x }}\n  {% endraw %}\nb", "a {%- raw -%} {{ x }} {%- endraw -%} b", "{% raw %}{% raw %}{% endraw %}", "{%raw%}x{%endraw%}\ny", "a\n {%+ raw %} x {%+ endraw +%}\n b", "{{'{{'}}{{'%}'}}", "{% if 1 %}x{% endif %}{# c #}\ny", "  {# c #}{% if 1 %} y{% endif %}", "x{% if 1 %}\n\n\ny{% endif %}", "{%- for x in l -%}\n  {{ x }}\n{%- endfor -%}", "{% for x in l %}\n{{ x }}\n{% endfor %}\nend", "{% for x in l -%}\n  {{ x }}\n{%- endfor %}\nend", "a{{ '\n' }}b", "{{- s }}", "{{ s -}}", " {%- set x = 1 -%} ", "\t{% if 1 %}\ty{% endif %}\t\n", "a\n\n   {% if 1 %}b{% endif %}", "a\u00a0\n\u3000{%- if 1 %} b{% endif %}", "{% if 1 %}   {% if 1 %}z{% endif %}{% endif %}", "{% set x %}\n  a\n{% endset %}[{{ x }}]",
    "{{ {'a': {'b': 1}}['a']['b'] }}", "{{ {'a': {'b': 1}} }}", "{{{'a': 1}}}", "{{ '}}' }}{{ '%}' }}", "{% if '%}' %}x{% endif %}", "{{ \"a\\\"b\" }}{{ 'a\\'b' }}{{ 'a\\\\' }}{{ '\\d\\é' }}", "{{ 'a\\\nb' }}{{ '\\101\\x41\\u0041\\7' }}", "{{ '\\x4' }}", "{{ '\\u12' }}", "{{ '\\U00110000' }}", "{{ \"line\nbreak\r\nx\" }}", "{{ 'tab\\there' }}", "日本 {{ u }} é{% if 1 %}ö{% endif %}", "{% set größe = 5 %}{{ größe }}", "{{ _x }}{% set _x = 1 %}{{ _x }}", "{{s}}{%if 1%}y{%endif%}", "{{s|upper}}{{i+1}}{{i-1}}{{l[0]-1}}", "{%-if 1-%} y {%-endif-%} z", "{{-s-}}", "{{ 1 -}} x", "{{ 1 - }} x", "{% if 1 -%} x{% endif %}", "a\n{%- if 0 %}b{% endif %}\nc", "{#- a -#} x {#- b -#}", "{# {{ x }} {% if %} #}y", "{#\n multi \n#}\ny", "", "\n", "\n\n", " ", "plain", "{% if 1 %}{% endif %}\n", "{ { x } }", "{", "{{ '{' }}", "a{b}c", "{{ s }}}", "{%if t%}{{'a'}}{%endif%}",
]

SNIPPETS = PRINTING + TESTS + OPERATIONS + ACCESS + METHODS + FILTERS + JSON + STATEMENTS + WHITESPACE

REFUSED = (
    ["{{ (-2) ** 0.5 }}", "{% block b %}{% endblock %}", "{% autoescape true %}{% endautoescape %}", "{% include 'x' ignore missing %}",
     "{% for x in l recursive %}{% endfor %}", "{{ l|random }}", "{{ html|striptags }}", "{{ s|wordwrap(5) }}",
     "{{ 5|filesizeformat }}", "{{ d|xmlattr }}", "{{ s|urlize }}", "{{ s.encode() }}", "{{ s.casefold() }}",
     "{{ s.expandtabs() }}", "{{ s.format_map({}) }}", "{{ s.translate({}) }}", "{{ range(9)[1:] }}",
     "{{ '\\N{BULLET}' }}", "{{ (l * 40)|pprint }}"]
    + ["{{ lipsum(n=1) }}"]
)
