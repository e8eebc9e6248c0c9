'use strict';
// The page's only script: filters, corrections and the keys for both. `data` has the images in the order of the cards.
{
  const data = JSON.parse(document.getElementById('data').textContent);
  const { labels, images } = data;
  const by = (id) => document.getElementById(id);
  const grid = by('pictures');
  const cards = [...grid.children];
  const UNKNOWN = 'unknown';
  const DIGITS = 9;
  const hasFew = labels.length <= DIGITS;
  const named = (numbers) => (numbers.length ? numbers.map((label) => labels[label]) : [UNKNOWN]);
  const answers = images.map((image) => named(image.answer));
  const truths = images.map((image) => image.truth && named(image.truth));
  /** What was decided: the number of an image -> its labels. */
  const decided = new Map();
  /** What each decision took the place of, the last one at the end. */
  const past = [];
  let visible = images.map((_, i) => i);
  let current = 0;
  let isSaved = true;
  let isKept = false;

  const same = (a, b) => a.length === b.length && a.every((label) => b.includes(label));
  const isNew = (label) => label !== UNKNOWN && !labels.includes(label);
  const listed = (own) => own.map((label) => (isNew(label) ? `${label} (new label)` : label)).join(', ');
  const isChanged = (i) => decided.has(i) && !same(decided.get(i), answers[i]);
  /** Whether the truth is not just the answer: an answer that is right may be one label of several. */
  const hasOtherTruth = (i) => Boolean(truths[i]) && !same(truths[i], answers[i]);
  const outcome = (i) => (isChanged(i) ? `now ${listed(decided.get(i))}` : `${decided.get(i).join(', ')} accepted`);
  const say = (text) => { by('live').textContent = shown(text); };
  const short = (i) => images[i].image.split('/').filter(Boolean).pop() ?? images[i].image;
  const percent = (share) => (share > 0 && share < 0.001 ? '< 0.1 %' : share < 1 && share > 0.999 ? '> 99.9 %' : `${(100 * share).toFixed(1)} %`);
  // Characters that are invisible or change the order of text are for files, not for readers.
  const acts = String.raw`(?![\u200c\u200d\ufe0e\ufe0f])[\p{Cc}\p{Bidi_C}\p{DI}\u2028\u2029\ufff0-\ufffb]`;
  const hidden = new RegExp(String.raw`${acts}|(?<=^|[\0-\x7f]|${acts})[\u200c\u200d\ufe0e\ufe0f]`, 'gu');
  const shown = (text) => text.replace(hidden, '\ufffd');

  function element(name, properties, ...children) {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  }

  function keyCap(text) {
    const made = element('kbd', {}, text);
    made.ariaHidden = 'true';
    return made;
  }

  function bar(share) {
    const svg = (name, attributes) => {
      const made = document.createElementNS('http://www.w3.org/2000/svg', name);
      Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
      return made;
    };
    const whole = svg('svg', { viewBox: '0 0 100 2', preserveAspectRatio: 'none', 'aria-hidden': 'true' });
    whole.append(svg('rect', { width: (100 * share).toFixed(1), height: 2 }));
    return whole;
  }

  // What survives a reload, where the browser allows it.
  const key = `zsic ${location.pathname} ${images.length} ${[...by('data').textContent].reduce((h, c) => (Math.imul(h, 31) + c.codePointAt(0)) | 0, 7)}`;
  function keep() {
    try {
      localStorage.setItem(key, JSON.stringify([...decided]));
      isKept = true;
    } catch { isKept = false; }
  }
  function restore() {
    try {
      for (const [i, own] of JSON.parse(localStorage.getItem(key) ?? '[]')) {
        if (images[i] && Array.isArray(own)) decided.set(i, own.map(String));
      }
    } catch { decided.clear(); }
  }

  // Cards and the panel beside them.
  function drawCard(i) {
    const [card, own] = [cards[i], decided.get(i)];
    card.classList.toggle('accepted', Boolean(own) && !isChanged(i));
    card.classList.toggle('changed', isChanged(i));
    card.lastElementChild.textContent = !own ? '' : isChanged(i) ? `→ ${shown(listed(own))}` : '✓ accepted';
    card.ariaLabel = shown(spoken(i));
  }

  /** What a screen reader says of a card, also of one that is not laid out as it is far away. */
  function spoken(i) {
    const { scores, answer, unknown, right } = images[i];
    const share = answer.length ? scores.find(([label]) => label === answer[0])?.[1] : unknown;
    const parts = [`${short(i)}: ${answers[i].join(', ')}${share === undefined ? '' : ` ${percent(share)}`}`];
    if (truths[i]) parts.push(right ? 'right' : 'wrong');
    if (hasOtherTruth(i)) parts.push(`truth ${truths[i].join(', ')}`);
    if (decided.has(i)) parts.push(outcome(i));
    if (!cards[i].querySelector('img')) parts.push(cards[i].querySelector('.frame').textContent);
    return parts.join('; ');
  }

  function drawCount() {
    const changed = [...decided.keys()].filter(isChanged).length;
    by('bar').max = images.length || 1;
    by('bar').value = decided.size;
    const relabelled = changed ? [element('span', { className: 'relabelled' }, `, ${changed} relabelled`)] : [];
    by('count').replaceChildren(`${decided.size} of ${images.length} reviewed`, ...relabelled);
    by('save').disabled = decided.size === 0;
    by('forget').classList.toggle('gone', decided.size === 0);
    by('undo').disabled = past.length === 0;
  }

  /** The labels with keys: all of them if they are few, else those with the highest scores. */
  const choices = (i) => (hasFew ? labels.map((_, label) => label) : images[i].scores.map(([label]) => label));

  function drawPanel() {
    const i = current;
    const image = images[i];
    if (!image) return;
    const picture = cards[i].querySelector('img');
    const view = picture ? element('img', { src: picture.src, alt: `Picture ${shown(short(i))}` }) : cards[i].querySelector('.frame').textContent;
    by('view').replaceChildren(view);
    by('path').textContent = shown(image.image);
    const own = decided.get(i);
    const strong = (text, className = '') => element('b', { className }, element('bdi', {}, shown(listed(text))));
    const says = [];
    if (truths[i]) says.push(image.right ? 'Right: ' : 'Wrong: ', strong(answers[i], image.right ? 'right' : 'wrong'));
    else says.push('Answer: ', strong(answers[i]));
    if (hasOtherTruth(i)) says.push(' · truth: ', strong(truths[i]));
    if (own) says.push(isChanged(i) ? ' · now ' : ' · ', isChanged(i) ? strong(own, 'changed') : element('span', { className: 'accepted' }, 'accepted'));
    by('says').replaceChildren(...says);
    const scores = new Map(image.scores);
    const selected = own ?? answers[i];
    by('choices').replaceChildren(...choices(i).map((label, place) => {
      const share = scores.get(label);
      const button = element('button', { type: 'button', onclick: (event) => relabel(labels[label], event.shiftKey) },
        keyCap(String(place + 1)), element('bdi', {}, shown(labels[label])),
        element('span', { className: 'share' }, share === undefined ? '' : percent(share)));
      button.ariaKeyShortcuts = String(place + 1);
      if (share !== undefined) button.append(bar(share));
      button.setAttribute('aria-pressed', String(selected.includes(labels[label])));
      return button;
    }));
    // Enter keeps what is decided.
    const [cap, shortcut] = own ? ['A', 'a'] : ['Enter', 'Enter'];
    by('accept').querySelector('kbd').textContent = cap;
    by('accept').setAttribute('aria-keyshortcuts', shortcut);
    by('clear').disabled = !own;
    by('none-share').textContent = image.unknown === undefined ? '' : percent(image.unknown);
    by('keep').hidden = !truths[i];
  }

  function setCurrent(i, isFocused = true) {
    cards[current]?.setAttribute('aria-selected', 'false');
    if (cards[current]) cards[current].tabIndex = -1;
    if (i !== current) by('other').value = '';
    current = i;
    if (!cards[i]) return;
    cards[i].setAttribute('aria-selected', 'true');
    cards[i].tabIndex = 0;
    if (isFocused) cards[i].focus();
    drawPanel();
  }

  // Decisions.
  function put(i, own) {
    if (own) decided.set(i, own);
    else decided.delete(i);
    isSaved = false;
    keep();
    drawCard(i);
    drawCount();
    say(`${short(i)}: ${own ? outcome(i) : 'no decision'}. ${by('count').textContent}`);
  }
  function undo() {
    const last = past.pop();
    if (!last) return;
    const [i, own] = last;
    put(i, own);
    filter(false);
    if (!visible.includes(i)) clearFilters(false);
    setCurrent(i);
  }
  function decide(own, goesOn = true) {
    if (!visible.includes(current) || (!own && !decided.has(current))) return;
    past.push([current, decided.get(current)]);
    put(current, own);
    // A picture that gets one label more stays, even where it no longer fits the filter.
    if (goesOn) leave(Boolean(own));
    else setCurrent(current);
  }
  /** Filters by the new states. The next picture follows, or the nearest one if this picture no longer fits. */
  function leave(isOnward = true) {
    const place = visible.indexOf(current);
    const [before, after] = [visible.slice(0, Math.max(place, 0)).reverse(), visible.slice(place + 1)];
    if (by('by-state').value) filter(false);
    const fits = (i) => visible.includes(i);
    const next = isOnward ? after.find(fits) : undefined;
    setCurrent(next ?? (fits(current) ? current : [...after, ...before].find(fits) ?? current));
    if (!visible.length) by('all').focus();
  }
  const accept = () => decide(answers[current]);
  const keepTruth = () => truths[current] && decide(truths[current]);
  function relabel(label, isAdded) {
    if (!isAdded) return decide([label]);
    const own = decided.get(current) ?? answers[current];
    const others = own.filter((other) => other !== label && other !== UNKNOWN);
    return decide(own.includes(label) ? (others.length ? others : [UNKNOWN]) : [...others, label], false);
  }

  // Filters.
  const FILTERS = ['by-answer', 'by-truth', 'by-verdict', 'by-state', 'by-name'];
  /** Whether the answer of the filter must be a picture's first, as in the table of confusions. */
  let isFirst = false;
  function clearFilters(isTold = true) {
    isFirst = false;
    FILTERS.forEach((id) => { by(id).value = ''; });
    filter(isTold);
  }
  /** Shows the pictures that fit. `isNone` is for what no filter says: pictures that are not on the page. */
  function filter(isTold = true, isNone = false) {
    const [answer, truth, verdict, state] = ['by-answer', 'by-truth', 'by-verdict', 'by-state'].map((id) => by(id).value);
    const word = by('by-name').value.trim().toLowerCase();
    const isAnswered = (i, label) => (isFirst ? answers[i][0] === label : answers[i].includes(label));
    const fits = (i) => (!answer || isAnswered(i, JSON.parse(answer)))
      && (!truth || truths[i]?.includes(JSON.parse(truth)))
      && (!verdict || images[i].right === (verdict === 'right'))
      && (!state || (state === 'open' ? !decided.has(i) : state === 'done' ? decided.has(i) : isChanged(i)))
      && (!word || images[i].image.toLowerCase().includes(word));
    visible = isNone ? [] : order.filter(fits);
    const shownNow = new Set(visible);
    cards.forEach((card, i) => { card.hidden = !shownNow.has(i); });
    by('nothing').hidden = visible.length > 0;
    by('panel').hidden = visible.length === 0;
    by('all').hidden = images.length === 0;
    by('why').textContent = !images.length ? 'There is no picture to review.'
      : isNone ? 'None of these pictures is on the page.' : 'No picture matches these filters.';
    by('fitting').textContent = visible.length < images.length ? `${visible.length} of ${images.length} shown` : '';
    by('reset').hidden = !isNone && FILTERS.every((id) => !by(id).value);
    if (!isTold) return;
    say(visible.length === 1 ? '1 picture' : `${visible.length} pictures`);
    setCurrent(shownNow.has(current) ? current : visible[0] ?? 0, false);
  }
  let order = images.map((_, i) => i);
  function sort() {
    const how = by('order').value;
    order = images.map((_, i) => i);
    if (how === 'certain') order.reverse();
    if (how === 'name') order.sort((a, b) => (images[a].image < images[b].image ? -1 : images[a].image > images[b].image ? 1 : a - b));
    grid.append(...order.map((i) => cards[i]));
    filter();
  }
  function fillOptions(id, all) {
    const counts = new Map();
    all.forEach((own) => own?.forEach((label) => counts.set(label, (counts.get(label) ?? 0) + 1)));
    const ranks = new Map(labels.map((label, rank) => [label, rank]));
    const rank = (label) => ranks.get(label) ?? labels.length;
    const options = [...counts].sort(([a], [b]) => rank(a) - rank(b));
    by(id).append(...options.map(([label, count]) => element('option', { value: JSON.stringify(label) }, `${shown(label)} (${count})`)));
  }

  // The file of corrections.
  const cell = (text) => (/^\s|[",\r\n]|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  function csv() {
    const rows = [...decided.keys()].sort((a, b) => a - b).flatMap((i) => decided.get(i).map((label) => [images[i].image, label]));
    return [['image', 'label'], ...rows].map((row) => `${row.map(cell).join(',')}\n`).join('');
  }
  function save() {
    const url = URL.createObjectURL(new Blob([csv()], { type: 'text/csv' }));
    element('a', { href: url, download: 'corrections.csv' }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
    isSaved = true;
    say(`Saved ${decided.size} decisions to corrections.csv`);
  }

  // Keys and clicks.
  const columns = () => getComputedStyle(grid).gridTemplateColumns.split(' ').length;
  const move = (steps) => {
    const place = visible.indexOf(current) + steps;
    if (visible.length) setCurrent(visible[Math.min(Math.max(place, 0), visible.length - 1)]);
  };
  const keys = {
    ArrowLeft: () => move(-1),
    ArrowRight: () => move(1),
    ArrowUp: () => move(-columns()),
    ArrowDown: () => move(columns()),
    Home: () => move(-Infinity),
    End: () => move(Infinity),
    Enter: () => (decided.has(current) ? leave() : accept()),
    a: accept,
    t: keepTruth,
    u: undo,
    ' ': () => {},
    Backspace: () => decide(null),
    Delete: () => decide(null),
    l: () => by('other').focus(),
    '/': () => by('by-name').focus(),
  };
  /** Whether a key is for the current picture: one of the pictures has the focus, or nothing has and the panel can be seen. */
  function isForPicture({ target, key }) {
    if (grid.contains(target)) return true;
    const { top, bottom } = by('says').getBoundingClientRect();
    return target === document.body && key !== ' ' && visible.length > 0 && top >= 0 && bottom <= innerHeight;
  }
  addEventListener('keydown', (event) => {
    if (!isForPicture(event)) return;
    const isUndo = (event.ctrlKey || event.metaKey) && !event.shiftKey && event.key.toLowerCase() === 'z';
    if ((event.ctrlKey || event.metaKey || event.altKey) && !isUndo) return;
    // Shift changes the key of a digit, and some keyboards have digits with Shift alone.
    const digit = /^Digit(\d)$/.exec(event.code)?.[1] ?? /^\d$/.exec(event.key)?.[0];
    const chosen = digit && choices(current)[digit - 1];
    const act = isUndo ? undo
      : digit === '0' ? () => decide([UNKNOWN])
        : chosen !== undefined && digit ? () => relabel(labels[chosen], event.shiftKey)
          : keys[event.key] ?? keys[event.key.toLowerCase()];
    if (!act) return;
    event.preventDefault();
    // A key that is held decides once.
    if (!event.repeat || event.key.startsWith('Arrow')) act();
  });
  grid.addEventListener('click', (event) => {
    const place = cards.indexOf(event.target.closest('.card'));
    if (place >= 0) setCurrent(place);
  });
  by('other').addEventListener('keydown', (event) => {
    if (event.key === 'Escape') cards[current]?.focus();
    if (event.key !== 'Enter') return;
    const typed = by('other').value.trim();
    const all = [...labels, UNKNOWN];
    const known = all.find((label) => label === typed) ?? all.find((label) => label.toLowerCase() === typed.toLowerCase());
    by('other').value = '';
    if (typed) relabel(known ?? typed, event.shiftKey);
  });
  by('accept').onclick = accept;
  by('keep').onclick = keepTruth;
  by('none').onclick = () => decide([UNKNOWN]);
  by('clear').onclick = () => decide(null);
  by('undo').onclick = undo;
  by('save').onclick = save;
  by('all').onclick = by('reset').onclick = () => { clearFilters(); cards[current]?.focus(); };
  by('forget').onclick = () => {
    if (!confirm(`Discard all ${decided.size} decisions?`)) return;
    const all = [...decided.keys()];
    decided.clear();
    past.length = 0;
    isSaved = true;
    keep();
    all.forEach(drawCard);
    drawCount();
    filter();
  };
  by('by-answer').onchange = () => { isFirst = false; filter(); };
  ['by-truth', 'by-verdict', 'by-state'].forEach((id) => { by(id).onchange = () => filter(); });
  by('more').onclick = () => by('more').setAttribute('aria-expanded', by('more').getAttribute('aria-expanded') !== 'true');
  by('by-name').oninput = () => filter();
  by('order').onchange = sort;
  document.querySelectorAll('[data-answer]').forEach((number) => {
    number.onclick = () => {
      isFirst = true;
      by('by-answer').value = JSON.stringify(labels[number.dataset.answer] ?? UNKNOWN);
      by('by-truth').value = JSON.stringify(labels[number.dataset.truth] ?? UNKNOWN);
      ['by-verdict', 'by-state', 'by-name'].forEach((id) => { by(id).value = ''; });
      // A value that no picture of the page has is none of the options.
      const isShown = by('by-answer').value && by('by-truth').value;
      filter(true, !isShown);
      if (!isShown) say(by('why').textContent);
      grid.scrollIntoView();
      if (isShown && visible.length) setCurrent(visible[0]);
    };
  });
  // The same page in another tab has decided something.
  addEventListener('storage', (event) => {
    if (event.key !== key) return;
    decided.clear();
    past.length = 0;
    restore();
    cards.forEach((_, i) => drawCard(i));
    drawCount();
    filter(false);
    if (visible.includes(current)) drawPanel();
    else setCurrent(visible[0] ?? 0, false);
  });
  addEventListener('beforeunload', (event) => {
    if (!isSaved && !isKept) event.preventDefault();
  });

  // The bar of filters stays at the top, and may take several lines.
  const tools = document.querySelector('.tools');
  const root = document.documentElement;
  new ResizeObserver(() => root.style.setProperty('--tools', `${tools.offsetHeight}px`)).observe(tools);

  fillOptions('by-answer', answers);
  fillOptions('by-truth', truths);
  document.querySelectorAll('label.judged').forEach((part) => { part.hidden = !data.judged; });
  by('labels').append(...labels.map((label) => element('option', { value: label, label: shown(label) })));
  restore();
  cards.forEach((_, i) => drawCard(i));
  drawCount();
  tools.hidden = false;
  filter(false);
  setCurrent(0, false);
  if (decided.size) say(`${decided.size} decisions of an earlier visit are back`);
}
