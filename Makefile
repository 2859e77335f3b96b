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

demo:
	python -m train demo
