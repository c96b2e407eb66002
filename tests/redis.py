"""A real Redis as a stateful service: its program in an image of its own, and the little of its protocol that tests need."""
import pathlib
import re
import shutil
import socket
import subprocess

PROGRAM = pathlib.Path("/usr/bin/redis-server")


def put_program(directory):
    """The program and the libraries that it loads, below DIRECTORY as they lie on this host."""
    libraries = re.findall(r"(/\S+) \(0x", subprocess.run(["ldd", str(PROGRAM)], check=True, capture_output=True,
                                                          text=True).stdout)
    for file in [str(PROGRAM), *libraries]:
        target = directory / file.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(pathlib.Path(file).resolve(), target)


def talk(port, *commands):
    """The answers on one connection: text, a number, or None; OSError when nobody answers."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        for words in commands:
            connection.sendall(b"".join([b"*%d\r\n" % len(words),
                                         *(b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()) for word in words)]))
        stream = connection.makefile("rb")
        return [answer(stream) for _ in commands]


def answer(stream):
    line = stream.readline().rstrip(b"\r\n")
    if not line:
        raise ConnectionError("closed without an answer")
    kind, rest = line[:1], line[1:].decode()
    if kind == b"$":
        return None if rest == "-1" else stream.read(int(rest) + 2)[:-2].decode()
    if kind == b"-":
        raise ConnectionError(rest)
    return int(rest) if kind == b":" else rest
