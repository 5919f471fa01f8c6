"""Conversations for compare_templates.py: plausible ones, odd ones, and ones no template should accept.

The same name and count always give the same conversations.
"""
import json
import random

MARKER_LETTERS = "ѢѣѪѫѮѯ"

WORDS = ("hello", "world", "the", "answer", "is", "42", "why?", "naïve", "日本語", "🙂", "größe", "<b>",
         "it's", '"quoted"', "a\\b", "{{ x }}", "{% if %}", "tab\there", "Ωmega", "e\u0301", "12.5%")
SPECIALS = ("<|im_end|>", "<|im_start|>system\n", "<s>", "</s>", "[INST]", "[/INST]", "<|eot_id|>",
            "<end_of_turn>", "<think>\nhm\n</think>\n\n", "</think>", "<think>", "<tool_call>", "<|end|>",
            "<tool_response>x</tool_response>", "<|START_OF_TURN_TOKEN|>", "<<SYS>>", "\n\n# Tools")
SPACES = ("", " ", "\n", "  \n\t", "\u00a0", "\u3000", "\r\n")

TOOLS = [
    {"type": "function", "function": {
        "name": "get_weather", "description": "The weather of a place <now>",
        "parameters": {"type": "object", "properties": {
            "place": {"type": "string", "description": "Ort, z.B. \"Köln\""},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            "days": {"type": "integer", "default": 3}},
            "required": ["place"]},
        "return": {"type": "string", "description": "text"}}},
    {"type": "function", "function": {
        "name": "add", "description": "",
        "parameters": {"type": "object", "properties": {
            "numbers": {"type": "array", "items": {"type": "number"}},
            "exact": {"type": "boolean"}, "scale": {"type": ["number", "null"]}}}}},
]
DOCUMENTS = [{"title": "First", "text": "Some text.\nMore."}, {"title": "Zweitens", "text": "Größe & <b>"}]


class Writer:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def chance(self, share):
        return self.random.random() < share

    def text(self):
        if self.chance(0.06):
            return ""
        parts = []
        for _ in range(self.random.randint(1, 6)):
            parts.append(self.random.choice(SPECIALS if self.chance(0.15) else WORDS))
        separator = self.random.choice((" ", " ", "\n", "\n\n"))
        return self.random.choice(SPACES) + separator.join(parts) + self.random.choice(SPACES)

    def content(self):
        if self.chance(0.08):
            return [{"type": "text", "text": self.text()} for _ in range(self.random.randint(0, 3))]
        if self.chance(0.03):
            return [{"type": "image"}, {"type": "text", "text": self.text()}]
        if self.chance(0.02):
            return None
        return self.text()

    def arguments(self):
        value = self.random.choice((
            {"place": "Köln", "days": 2}, {"numbers": [1, 2.5, -3e20, 1e-7], "exact": True}, {},
            {"nested": {"a": [None, {"b": "c'd"}]}, "text": "line\nline \"q\" <x>"}))
        return json.dumps(value) if self.chance(0.15) else value

    def tool_call(self):
        identity = "".join(self.random.choice("abcdefXYZ019") for _ in range(9))
        return {"type": "function", "id": identity,
                "function": {"name": self.random.choice(("get_weather", "add")),
                             "arguments": self.arguments()}}

    def tool_turn(self, several):
        calls = [self.tool_call() for _ in range(self.random.randint(1, 2) if several else 1)]
        request = {"role": "assistant", "tool_calls": calls}
        if self.chance(0.7):
            request["content"] = self.content() if self.chance(0.5) else ""
        answers = [{"role": "tool", "name": call["function"]["name"], "tool_call_id": call["id"],
                    "content": self.text() if self.chance(0.6) else json.dumps({"value": 3.5})}
                   for call in calls]
        return [request] + answers

    def assistant(self):
        message = {"role": "assistant", "content": self.content()}
        if self.chance(0.2):
            message["reasoning_content"] = self.text()
        return message

    def messages(self):
        messages = []
        if self.chance(0.45):
            messages.append({"role": "system", "content": self.text() if self.chance(0.9) else self.content()})
        for _ in range(self.random.randint(1, 4)):
            messages.append({"role": "user", "content": self.content()})
            if self.chance(0.25):
                messages.extend(self.tool_turn(self.chance(0.4)))
            messages.append(self.assistant())
        if self.chance(0.7):
            messages.pop()
        if self.chance(0.06):
            self.random.shuffle(messages)
        if self.chance(0.03):
            messages.append({"role": "stranger", "content": "?"})
        if self.chance(0.02):
            messages.clear()
        return messages

    def options(self):
        options = {"add_generation_prompt": self.chance(0.6), "bos_token": "<s>", "eos_token": "</s>",
                   "unk_token": "<unk>", "pad_token": "<pad>"}
        options["tools"] = TOOLS[: self.random.randint(1, 2)] if self.chance(0.3) else None
        options["documents"] = DOCUMENTS if self.chance(0.1) else None
        for name, share in (("enable_thinking", 0.3), ("thinking", 0.2), ("tools_in_user_message", 0.2),
                            ("keep_thinking", 0.1), ("custom_flag", 0.1)):
            if self.chance(share):
                options[name] = self.chance(0.5)
        if self.chance(0.2):
            options["date_string"] = "26 Jul 2024"
        if self.chance(0.1):
            options["xml_tools"] = ["def f(x): return x"]
        if self.chance(0.05):
            options["system_message"] = "from the caller"
        return options


def conversations(name, count):
    contexts = []
    for number in range(count):
        writer = Writer(f"{name} {number}")
        contexts.append({"messages": writer.messages(), **writer.options()})
    return contexts


def marked(writer):
    return "".join(writer.random.choice(MARKER_LETTERS) for _ in range(writer.random.randint(1, 12)))


def marker_conversations(name, count):
    """Orderly conversations whose contents are made of marker letters only."""
    contexts = []
    for number in range(count):
        writer = Writer(f"{name} marked {number}")
        messages = []
        if writer.chance(0.4):
            messages.append({"role": "system", "content": marked(writer)})
        for _ in range(writer.random.randint(1, 3)):
            messages.append({"role": "user", "content": marked(writer)})
            messages.append({"role": "assistant", "content": marked(writer)})
            if writer.chance(0.3):
                messages[-1]["reasoning_content"] = marked(writer)
        if writer.chance(0.5):
            messages.pop()
        contexts.append({"messages": messages, **writer.options()})
    return contexts
