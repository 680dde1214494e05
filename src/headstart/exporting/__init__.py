"""Exports of a trained model: conversion to other formats, and their verification."""
