.PHONY: run test check bench demo

run:
	python app.py

test:
	pytest

check:
	ruff check .
	ruff format --check .
	mypy
	pip check

bench:
	python -m evaluation bench startup
	python -m evaluation bench chat
	python -m evaluation bench saves
	python -m evaluation bench mcq

demo:
	python -m train demo
